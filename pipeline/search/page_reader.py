"""Reader of the pages of an index: opens a page or a section of it part by part, and finds a string in it.

Guarantees: what is hidden from a request is neither shown nor found, whatever name leads to it, because names become
rows first and hidden rows, near-copies of the source among them, are left out then; a hidden page is answered as one
that does not exist; a bad name, section or cursor becomes a status, never an exception; a page is read as a whole once,
and from then on the time of a request is linear in what it shows or searches; a part has at most `max_chars` characters
unless its first passage is longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from urllib.parse import unquote, urlsplit

import numpy as np

from pipeline.search.engine import FoundPassage
from pipeline.search.index.page_table import fold_title
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.page_view import PageView, open_views, write_section
from schemas.trajectories import HideMode

PART_CHARS = 4_000
"""Characters of a part, unless a request says otherwise."""
MAX_PART_CHARS = 100_000
MAX_NAME_CHARS = 2_000
"""Characters of a name, a section or a string to find."""
MAX_MATCHES = 20
CONTEXT_CHARS = 80
"""Characters shown on each side of a match."""
ADDRESS = "page://"
"""Addresses of pages, which clients that want a URL get: `page://` and the page's id."""
WIKI_PATH = "/wiki/"
ID_DIGITS = 19
"""Page ids are numbers of 63 bits."""


class PageStatus(StrEnum):
    """How a request to open or to find ended."""

    OK = "ok"
    NO_PAGE = "no_page"
    """No page of this name, or one that is hidden."""
    NO_SECTION = "no_section"
    """The page has no such section, or none of it may be shown."""
    PAST_END = "past_end"
    """The cursor is beyond the last passage that may be shown."""
    NO_MATCH = "no_match"
    """The string is not in what may be shown."""
    BAD_REQUEST = "bad_request"
    """Empty, too long or out of range."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page to open or to search, and the source of the task, which is hidden."""

    page: str
    """Title, page id, passage id, or an address: `page://ID`, or a URL of a wiki."""
    section: str = ""
    """Heading of a section; with it, only that section and those below it are read."""
    cursor: int | None = None
    """Number of the first passage to show, counted from 0 over the whole page; None: the passage that is named, or the
    beginning of a page that is named."""
    find: str = ""
    """String to find; case and the kind of white space do not matter."""
    max_chars: int = PART_CHARS
    hide: HideMode = HideMode.NONE
    passage_id: str = ""
    """Source passage; hidden in modes `passage` and `page`."""
    page_id: int | None = None
    """Source page; hidden in mode `page`."""


@dataclass(frozen=True, slots=True)
class PagePart:
    """A part of a page; without text unless the status is `ok`."""

    status: PageStatus
    page_id: int | None = None
    title: str = ""
    text: str = ""
    """Passages, an empty line between them, under the headings of their sections."""
    passage_ids: tuple[str, ...] = ()
    """The passages shown."""
    cursor: int | None = None
    """The first of them."""
    next_cursor: int | None = None
    """Cursor of the next part; None at the end."""
    sections: tuple[str, ...] = ()
    """Headings of the page that may be shown, in order, with those above them."""


@dataclass(frozen=True, slots=True)
class Match:
    """A place where the string stands."""

    passage_id: str
    cursor: int
    """With it the page opens at this passage."""
    section: str
    snippet: str
    """The string with what stands around it."""


@dataclass(frozen=True, slots=True)
class PageMatches:
    """The places of a string in a page: the first `MAX_MATCHES`."""

    status: PageStatus
    page_id: int | None = None
    title: str = ""
    matches: tuple[Match, ...] = ()
    count: int = 0
    """All places."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A page that was named."""

    page_id: int
    title: str
    view: PageView
    start: int
    """Number of the first passage to read."""


class PageReader:
    """Pages of an index. Many threads may share it."""

    def __init__(self, store: PassageStore) -> None:
        self._store = store
        self._view = open_views(store)

    def open(self, request: PageRequest) -> PagePart:
        """The part of a page at the cursor."""
        page = self._locate(request)
        if isinstance(page, PageStatus):
            return PagePart(page)
        shown = self._read(page, request.section, page.start)
        passages = list(islice(shown, 1))
        if not passages:
            return PagePart(self._explain_nothing(page, request.section), page.page_id, page.title)
        chars, following = len(passages[0][1].text), None
        for cursor, passage in shown:
            chars += len(passage.text)
            if chars > request.max_chars:
                following = cursor
                break
            passages.append((cursor, passage))
        return PagePart(
            PageStatus.OK,
            page.page_id,
            page.title,
            write_text([passage for _, passage in passages]),
            tuple(passage.passage_id for _, passage in passages),
            passages[0][0],
            following,
            page.view.sections,
        )

    def find(self, request: PageRequest) -> PageMatches:
        """The places of a string in a page, from the cursor on."""
        words = request.find.split()
        if not words or len(request.find) > MAX_NAME_CHARS:
            return PageMatches(PageStatus.BAD_REQUEST)
        page = self._locate(request)
        if isinstance(page, PageStatus):
            return PageMatches(page)
        pattern = re.compile(r"\s+".join(map(re.escape, words)), re.IGNORECASE)
        matches: list[Match] = []
        count, status = 0, None
        for cursor, passage in self._read(page, request.section, page.start):
            status = PageStatus.NO_MATCH
            for place in pattern.finditer(passage.text):
                count += 1
                if len(matches) < MAX_MATCHES:
                    snippet = cut_snippet(passage.text, place.start(), place.end())
                    matches.append(Match(passage.passage_id, cursor, write_section(passage.section), snippet))
        status = PageStatus.OK if count else status or self._explain_nothing(page, request.section)
        return PageMatches(status, page.page_id, page.title, tuple(matches), count)

    def _locate(self, request: PageRequest) -> _Page | PageStatus:
        """The page that a request names, with what of it is hidden."""
        lengths = (len(request.page), len(request.section))
        if not request.page.strip() or max(lengths) > MAX_NAME_CHARS or (request.cursor or 0) < 0:
            return PageStatus.BAD_REQUEST
        if not 1 <= request.max_chars <= MAX_PART_CHARS:
            return PageStatus.BAD_REQUEST
        named = self._store.find_row(request.page)
        row = named if named is not None else self._find_page(request.page.strip())
        if row is None:
            return PageStatus.NO_PAGE
        page_id = int(self._store.page_ids[row])
        view = self._view(page_id, request.hide, request.passage_id, request.page_id)
        if named in view.hidden or len(view.hidden) == len(view.rows):
            return PageStatus.NO_PAGE
        start = request.cursor
        if start is None:
            start = 0 if named is None else int(np.searchsorted(view.rows, row))
        return _Page(page_id, self._store.read_row(row).title, view, start)

    def _find_page(self, name: str) -> int | None:
        """A row of the page of a title, an id or an address."""
        if name.startswith(ADDRESS):
            return self._find_id(name.removeprefix(ADDRESS))
        title = read_address(name)
        titles = {row: self._store.read_row(row).title for row in self._store.pages.find_title(title)}
        exact = [row for row, found in titles.items() if found == title]
        alike = [row for row, found in titles.items() if fold_title(found) == fold_title(title)]
        return next(iter(exact + alike), None) if titles else self._find_id(name)

    def _find_id(self, text: str) -> int | None:
        if not (text.isascii() and text.isdigit() and len(text) < ID_DIGITS):
            return None
        rows = self._store.pages.rows_of(int(text))
        return int(rows[0]) if len(rows) else None

    def _read(self, page: _Page, section: str = "", start: int = 0) -> Iterator[tuple[int, FoundPassage]]:
        """Cursor and passage of what may be shown, from a cursor on."""
        folded = fold_title(section)
        for cursor in range(start, len(page.view.rows)):
            row = int(page.view.rows[cursor])
            if row not in page.view.hidden:
                passage = self._store.read_row(row)
                if not folded or is_within(passage.section, folded):
                    yield cursor, passage

    def _explain_nothing(self, page: _Page, section: str) -> PageStatus:
        """Why nothing from the cursor on may be shown."""
        return PageStatus.NO_SECTION if next(self._read(page, section), None) is None else PageStatus.PAST_END


def read_address(name: str) -> str:
    """The title in the URL of a wiki's page; other names are titles already."""
    if "://" not in name:
        return name
    try:
        path = urlsplit(name).path
    except ValueError:
        return name
    return unquote(path.partition(WIKI_PATH)[2] or path.rpartition("/")[2])


def write_address(page_id: int) -> str:
    """The address of a page."""
    return f"{ADDRESS}{page_id}"


def is_within(section: Sequence[str], folded: str) -> bool:
    """Whether a passage's headings lead through a section, named by its heading or by its whole path."""
    return any(
        folded in (fold_title(section[i]), fold_title(write_section(section[: i + 1]))) for i in range(len(section))
    )


def write_text(passages: Sequence[FoundPassage]) -> str:
    """Passages under the headings of their sections."""
    lines: list[str] = []
    section: tuple[str, ...] = ()
    for passage in passages:
        if passage.section != section and passage.section:
            lines.append(f"## {write_section(passage.section)}")
        section = passage.section
        lines.append(passage.text)
    return "\n\n".join(lines)


def cut_snippet(text: str, start: int, end: int) -> str:
    """A place in a text with what stands around it, in whole words where there are spaces."""
    left, right = max(0, start - CONTEXT_CHARS), min(len(text), end + CONTEXT_CHARS)
    if left and (space := text.find(" ", left, start)) >= 0:
        left = space + 1
    if right < len(text) and (space := text.rfind(" ", end, right)) >= 0:
        right = space
    return text[left:right]
