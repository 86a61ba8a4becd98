"""Pages read part by part: all that may be shown is, in order and once; what is hidden stays so by any name."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search.engine import FoundPassage
from pipeline.search.index.page_table import fold_title
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.passages import build_store
from pipeline.search.page_reader import PageReader, PageRequest, PageStatus
from pipeline.search.page_view import write_section
from pipeline.text.near_copies import is_copy
from schemas.arrow import arrow_schema
from schemas.passages import Passage
from schemas.trajectories import HideMode
from tests.support.passage_samples import WORDS, make_passage

TITLES = ("Café de Flore", "Zürich Hauptbahnhof", "AC/DC", "Élan: a (short) life", "1984", "100%", "雅典 城")
COPIED = " ".join(WORDS[:12])
SECTIONS = ((), ("History",), ("History", "Early years"), ("Legacy",))


def draw_pages() -> list[Passage]:
    """Four to nine passages a page, in sections; the source of every page is copied on the next one."""
    rng = random.Random(3)
    passages: list[Passage] = []
    for page, title in enumerate(TITLES):
        for place in range(rng.randint(4, 9)):
            words = f"{page} {place} " + " ".join(rng.choices(WORDS, k=rng.randint(3, 9)))
            copied = f"{COPIED} {page}" if place == 0 else f"{COPIED} {page - 1}" if place == 1 else ""
            text = f"{words} {copied} secret{page}x{place}"
            section = SECTIONS[min(place // 2, 3)]
            passage = make_passage(len(passages), text, 100 + page, title=title)
            passages.append(passage.model_copy(update={"section": section}))
    return passages


PASSAGES = draw_pages()


def open_reader(folder: Path, passages: Sequence[Passage]) -> PageReader:
    path = folder / "part.parquet"
    pq.write_table(pa.Table.from_pylist([p.model_dump() for p in passages], schema=arrow_schema(Passage)), path)
    build_store([path], folder / "passages")
    return PageReader(PassageStore(folder / "passages"))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PageReader:
    return open_reader(tmp_path_factory.mktemp("pages"), PASSAGES)


def list_names(passage: Passage) -> list[str]:
    """Ways to name a page."""
    title = passage.title
    wiki = "https://en.wikipedia.org/wiki/"
    cases = [title, title.upper(), title.lower(), title.title(), title.replace(" ", "_"), f"  {title} "]
    forms = [unicodedata.normalize(form, title) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    addresses = [f"page://{passage.page_id}", str(passage.page_id), wiki + quote(title.replace(" ", "_"), safe="")]
    addresses += [
        f"{wiki}{quote(title)}#History",
        f"{wiki}{quote(title)}?action=raw",
        f"http://zh.wikipedia.org/wiki/{quote(title)}",
    ]
    return [*cases, *forms, *addresses, passage.passage_id]


def expect(passage: Passage, hide: HideMode, source: Passage) -> bool:
    """Whether a passage may be shown, by brute force."""
    if hide is HideMode.NONE:
        return True
    hidden = passage.passage_id == source.passage_id or (hide is HideMode.PAGE and passage.page_id == source.page_id)
    return not hidden and not is_copy(passage.text, source.text)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PASSAGES), st.sampled_from(PASSAGES), st.sampled_from(HideMode), st.data(), st.integers(1, 300))
def test_parts_joined_are_the_page_without_what_is_hidden(
    reader: PageReader, wanted: Passage, source: Passage, hide: HideMode, data: st.DataObject, max_chars: int
) -> None:
    name = data.draw(st.sampled_from(list_names(wanted)[:-1]))
    section = data.draw(st.sampled_from(["", "history", "HISTORY > early  years", "Legacy", "Nowhere"]))
    page = [p for p in PASSAGES if p.page_id == wanted.page_id]
    asked = [p for p in page if not section or within(p.section, section)]
    expected = [p.passage_id for p in asked if expect(p, hide, source)]
    shown: list[str] = []
    cursor, texts = 0, ""
    while True:
        request = PageRequest(name, section, cursor, "", max_chars, hide, source.passage_id, source.page_id)
        part = reader.open(request)
        texts += part.text
        if part.status is not PageStatus.OK:
            break
        assert part.cursor is not None
        assert part.cursor >= cursor
        shown += part.passage_ids
        assert len(part.passage_ids) == 1 or sum(len(find(i).text) for i in part.passage_ids) <= max_chars
        if part.next_cursor is None:
            break
        cursor = part.next_cursor
    assert shown == expected
    assert (part.status is PageStatus.OK) == bool(expected)
    assert all(
        f"secret{p.page_id - 100}x{number}" not in texts.split()
        for number, p in enumerate(page)
        if p.passage_id not in expected
    )
    if not any(expect(p, hide, source) for p in page):
        assert part.status is PageStatus.NO_PAGE


def within(section: tuple[str, ...], asked: str) -> bool:
    names = [fold_title(heading) for heading in section]
    names += [fold_title(write_section(section[: i + 1])) for i in range(len(section))]
    return fold_title(asked) in names


def find(passage_id: str) -> Passage:
    return next(p for p in PASSAGES if p.passage_id == passage_id)


@pytest.mark.parametrize("hide", [HideMode.PASSAGE, HideMode.PAGE])
def test_no_name_leads_to_what_is_hidden(reader: PageReader, hide: HideMode) -> None:
    tried = 0
    for source in PASSAGES[::3]:
        secret = source.text.split()[-1]
        for name in list_names(source):
            for cursor in range(10):
                request = PageRequest(name, "", cursor, secret, 5_000, hide, source.passage_id, source.page_id)
                part, matches = reader.open(request), reader.find(request)
                assert secret not in part.text.split()
                assert not [m for m in matches.matches if secret in m.snippet.split()]
                assert source.passage_id not in part.passage_ids
                tried += 2
    assert tried > 1000


def test_every_name_opens_the_page(reader: PageReader) -> None:
    for passage in PASSAGES:
        page = [p for p in PASSAGES if p.page_id == passage.page_id]
        for name in list_names(passage)[:-1]:
            part = reader.open(PageRequest(name, max_chars=100_000))
            assert (part.page_id, part.title, part.cursor) == (passage.page_id, passage.title, 0), name
            assert part.passage_ids == tuple(p.passage_id for p in page)
        named = reader.open(PageRequest(passage.passage_id))
        assert named.passage_ids[0] == passage.passage_id


def test_headings_stand_above_their_passages(reader: PageReader, tmp_path: Path) -> None:
    texts = [make_passage(i, f"text {i}.", 7, title="T").model_copy(update={"section": SECTIONS[i]}) for i in range(4)]
    part = open_reader(tmp_path, texts).open(PageRequest("t"))
    assert part.text == (
        "text 0.\n\n## History\n\ntext 1.\n\n## History > Early years\n\ntext 2.\n\n## Legacy\n\ntext 3."
    )
    assert part.sections == ("History", "History > Early years", "Legacy")


def test_found_places_are_those_of_a_plain_scan(reader: PageReader) -> None:
    for page_id in {p.page_id for p in PASSAGES}:
        page = [p for p in PASSAGES if p.page_id == page_id]
        for words in ("river", "RIVER  bridge", "stone\ttower", "nowhere at all", "secret"):
            plain = " ".join(words.split()).lower()
            count = sum(p.text.lower().count(plain) for p in page)
            result = reader.find(PageRequest(f"page://{page_id}", find=words))
            assert result.count == count
            assert (result.status is PageStatus.OK) == bool(count)
            for match in result.matches:
                assert plain in " ".join(match.snippet.lower().split())
                assert match.snippet in page[match.cursor].text
                assert page[match.cursor].passage_id == match.passage_id


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (PageRequest(""), PageStatus.BAD_REQUEST),
        (PageRequest("  \n"), PageStatus.BAD_REQUEST),
        (PageRequest("x" * 2_001), PageStatus.BAD_REQUEST),
        (PageRequest("AC/DC", "s" * 2_001), PageStatus.BAD_REQUEST),
        (PageRequest("AC/DC", cursor=-1), PageStatus.BAD_REQUEST),
        (PageRequest("AC/DC", max_chars=0), PageStatus.BAD_REQUEST),
        (PageRequest("AC/DC", cursor=10**18), PageStatus.PAST_END),
        (PageRequest("AC/DC", "Nowhere"), PageStatus.NO_SECTION),
        (PageRequest("AC/DC", "History", cursor=99), PageStatus.PAST_END),
        (PageRequest("Nowhere"), PageStatus.NO_PAGE),
        (PageRequest("99999"), PageStatus.NO_PAGE),
        (PageRequest("9" * 30), PageStatus.NO_PAGE),
        (PageRequest("page://"), PageStatus.NO_PAGE),
        (PageRequest("page://x"), PageStatus.NO_PAGE),
        (PageRequest("page://٣"), PageStatus.NO_PAGE),
        (PageRequest("http://[half"), PageStatus.NO_PAGE),
        (PageRequest("\ud800"), PageStatus.NO_PAGE),
        (PageRequest("\x00"), PageStatus.NO_PAGE),
    ],
)
def test_bad_requests_have_a_status(reader: PageReader, request_: PageRequest, status: PageStatus) -> None:
    assert reader.open(request_).status is status
    assert reader.find(PageRequest(request_.page, find=" ")).status is PageStatus.BAD_REQUEST


def test_a_page_id_that_is_a_title_is_the_title(reader: PageReader, tmp_path: Path) -> None:
    passages = [make_passage(0, "of the year", 1, title="7"), make_passage(1, "of the number", 7, title="Seven")]
    assert open_reader(tmp_path, passages).open(PageRequest("7")).text == "of the year"


def test_titles_that_differ_in_case_alone_are_apart(tmp_path: Path) -> None:
    passages = [make_passage(0, "united", 1, title="US"), make_passage(1, "we", 2, title="us")]
    reader = open_reader(tmp_path, passages)
    assert [reader.open(PageRequest(name)).text for name in ("US", "us", "Us")] == ["united", "we", "united"]
    hidden = PageRequest("Us", hide=HideMode.PAGE, passage_id="p0000", page_id=1)
    assert reader.open(hidden).status is PageStatus.NO_PAGE


@pytest.mark.parametrize("name", ["Mirror", "page://2", "p0001", "p0002"])
@pytest.mark.parametrize("hide", [HideMode.PASSAGE, HideMode.PAGE])
def test_a_page_of_copies_alone_is_answered_as_no_page(tmp_path: Path, hide: HideMode, name: str) -> None:
    passages = [make_passage(0, COPIED, 1), *(make_passage(i, f"{i} {COPIED}", 2, title="Mirror") for i in (1, 2))]
    reader = open_reader(tmp_path, passages)
    hidden, absent = (PageRequest(n, "", 0, WORDS[0], 9, hide, "p0000", 1) for n in (name, "Nowhere"))
    assert reader.open(hidden) == reader.open(absent)
    assert reader.find(hidden) == reader.find(absent)


@pytest.mark.parametrize("hide", [HideMode.NONE, HideMode.PASSAGE])
def test_reading_a_page_part_by_part_costs_as_much_as_the_page(
    tmp_path: Path, hide: HideMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_reader(tmp_path, [make_passage(i, f"text {i}", 1, title="Long") for i in range(200)])
    read: list[int] = []
    read_row = PassageStore.read_row

    def count_row(store: PassageStore, row: int) -> FoundPassage:
        read.append(row)
        return read_row(store, row)

    monkeypatch.setattr(PassageStore, "read_row", count_row)
    cursor: int | None = 0
    shown = 0
    while cursor is not None:
        part = reader.open(PageRequest("Long", "", cursor, max_chars=1, hide=hide, passage_id="p0007"))
        shown, cursor = shown + len(part.passage_ids), part.next_cursor
    assert shown == (200 if hide is HideMode.NONE else 199)
    assert len(read) < 8 * shown
