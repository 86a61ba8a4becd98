"""Reader of MediaWiki XML dumps: export schemas 0.3 to 0.11, any compression, UTF-8 or UTF-16.

Expat parses; this module keeps the few relevant fields. Guarantees: of a page's revisions the last one counts; constant
memory whatever a page contains; a page that MediaWiki would not write is a page with an `error`; a dump with a broken
<siteinfo>, or without one, is read like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from pipeline.corpus.readers.byte_streams import FETCH_AGAIN, TextStream
from pipeline.corpus.readers.raw_page import WIKITEXT, RawPage
from pipeline.errors import SourceError

ROOT = "mediawiki"
SITE, PAGE, REVISION = f"{ROOT}/siteinfo/namespaces", f"{ROOT}/page", f"{ROOT}/page/revision"
NAMESPACE, REDIRECT = f"{SITE}/namespace", f"{PAGE}/redirect"
TITLE, NAMESPACE_ID, PAGE_ID = f"{PAGE}/title", f"{PAGE}/ns", f"{PAGE}/id"
REVISION_ID, MODEL, TEXT = f"{REVISION}/id", f"{REVISION}/model", f"{REVISION}/text"
NUMBERS = (PAGE_ID, NAMESPACE_ID, REVISION_ID)
FIELDS = frozenset({NAMESPACE, TITLE, MODEL, TEXT, *NUMBERS})
"""Elements whose text is kept."""
PARENTS = frozenset({ROOT, f"{ROOT}/siteinfo", SITE, PAGE, REVISION})
MOST_DEPTH = 1000
LONGEST_TAG = 1 << 23
"""Maximum bytes of a tag or comment: Expat holds an unfinished one whole, and reads it anew with every piece of the
file."""
CUT_OFF = frozenset(
    expat.errors.codes[message]
    for message in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
    )
)


def read_mediawiki(path: Path, limit: int) -> Iterator[RawPage]:
    """Yield the pages of a dump in order, their text truncated one character after `limit`.

    Raises SourceError at the point of damage, after the pages before it.
    """
    parser = _PageParser(path, limit)
    try:
        for piece in TextStream(path).pieces():
            yield from parser.feed(piece)
        yield from parser.feed("", final=True)
    except expat.ExpatError as error:
        yield from parser.take_pages()
        what = "is truncated" if error.code in CUT_OFF else "is broken XML"
        why = "" if error.code in CUT_OFF else f": {error}"
        raise SourceError(f"{path} {what} after {parser.count} pages{why}", FETCH_AGAIN) from None
    except SourceError as error:
        yield from parser.take_pages()
        raise SourceError(f"{error.what} (after {parser.count} pages)", error.fix) from None


class _PageParser:
    """Incremental parser that returns the pages each piece of a dump completes."""

    def __init__(self, path: Path, limit: int) -> None:
        self.count = 0
        self._path, self._limit = path, limit
        self._pages: list[RawPage] = []
        self._namespaces: dict[str, int] = {}
        self._places: list[str] = []
        """For each open element its path from the root, where that may matter, else an empty text."""
        self._values: dict[str, str] = {}
        self._fault = ""
        self._field, self._namespace = "", ""
        self._parts: list[str] = []
        self._size = 0
        self._fed = 0
        self._expat = expat.ParserCreate("utf-8")
        self._expat.buffer_text = True
        self._expat.buffer_size = 1 << 16
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end

    def feed(self, piece: str, final: bool = False) -> Iterator[RawPage]:
        """Return the pages that end in this piece. On ExpatError or SourceError `take_pages` has those before it."""
        data = piece.encode("utf-8")
        self._expat.Parse(data, final)
        self._fed += len(data)
        if self._fed - self._expat.CurrentByteIndex > LONGEST_TAG and not final:
            raise SourceError(f"{self._path} is broken XML: a tag or comment does not end", FETCH_AGAIN)
        return self.take_pages()

    def take_pages(self) -> Iterator[RawPage]:
        """Return the complete pages that were not returned before."""
        pages, self._pages = self._pages, []
        return iter(pages)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._places:
            if name != ROOT:
                raise SourceError(
                    f"{self._path} is XML, but not a MediaWiki dump", "check corpus.sources and corpus.format"
                )
            self._places.append(ROOT)
            return
        if len(self._places) > MOST_DEPTH:
            raise SourceError(f"{self._path} is broken XML: elements stand inside each other", FETCH_AGAIN)
        parent = self._places[-1]
        place = f"{parent}/{name}" if parent in PARENTS else ""
        self._places.append(place)
        if self._field:
            self._fault = self._fault or f"<{name}> inside <{self._field.rpartition('/')[2]}>"
        elif place in FIELDS:
            self._field, self._namespace = place, attributes.get("key", "")
            self._expat.CharacterDataHandler = self._collect
        elif place == PAGE:
            self._values, self._fault = {}, ""
        elif place == REVISION:
            for field in (REVISION_ID, MODEL, TEXT):
                self._values.pop(field, None)
        elif place == REDIRECT:
            self._values[REDIRECT] = attributes.get("title", "")

    def _collect(self, text: str) -> None:
        if self._size <= self._limit and not self._fault:
            self._parts.append(text)
            self._size += len(text)

    def _end(self, _name: str) -> None:
        place = self._places.pop()
        if place == PAGE:
            self._pages.append(self._make_page())
            self.count += 1
        elif place and place == self._field:
            text = "".join(self._parts)[: self._limit + 1]
            self._parts, self._size, self._field = [], 0, ""
            self._expat.CharacterDataHandler = None
            if place != NAMESPACE:
                self._values[place] = text
            elif (number := _read_number(self._namespace)) is not None:
                self._namespaces[text] = number

    def _make_page(self) -> RawPage:
        values, source = self._values, self._path.name
        title = values.get(TITLE, "").replace("_", " ")
        numbers = {field: _read_number(values[field]) for field in NUMBERS if field in values}
        wrong = [field for field, number in numbers.items() if number is None]
        fault = self._fault or ("" if title else "no title")
        if wrong and not fault:
            fault = f"{wrong[0].removeprefix(ROOT)} is not a 64-bit integer: {values[wrong[0]]:.40}"
        if fault:
            return RawPage(source, self.count, title="", text="", error=f"{title}: {fault}" if title else fault)
        namespace = numbers.get(NAMESPACE_ID)
        if namespace is None:
            namespace, title = self._split_title(title)
        return RawPage(
            source=source,
            ordinal=self.count,
            title=title,
            text=values.get(TEXT, ""),
            model=values.get(MODEL) or WIKITEXT,
            page_id=numbers.get(PAGE_ID),
            revision_id=numbers.get(REVISION_ID),
            namespace=namespace,
            redirect=values.get(REDIRECT),
        )

    def _split_title(self, title: str) -> tuple[int, str]:
        """Split a title, as in dumps before schema 0.6, into its namespace and the rest."""
        prefix, _, rest = title.partition(":")
        namespace = 0 if rest.startswith(" ") else self._namespaces.get(prefix, 0)
        return namespace, rest if namespace else title


def _read_number(text: str) -> int | None:
    if not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", text):
        return None
    number = int(text)
    return number if abs(number) < 1 << 63 else None
