"""Which format a source is of, what a folder stands for, and the layouts that rows come in."""

from __future__ import annotations

import bz2
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.corpus.document_stage import make_outcome
from pipeline.corpus.readers.opening import detect_format, expand_sources, open_source
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.errors import SourceError
from schemas.config import CorpusConfig, SourceFormat
from schemas.documents import Document
from schemas.funnel import Reject

ROW = '{"title": "A", "text": "Some text of A."}\n'
DUMP = (
    "<mediawiki><page><title>D</title><ns>0</ns><id>1</id><revision><id>2</id><text>x</text></revision></page>"
    "</mediawiki>"
)


def fill(folder: Path, **files: str | bytes) -> Path:
    """Write files, `__` in a name standing for a dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def read_all(*sources: Path | str, **settings: Any) -> list[RawPage]:
    config = CorpusConfig.model_validate({"sources": [str(source) for source in sources], **settings})
    return [page for source in expand_sources(config) for page in open_source(source, config)]


def one_row(path: Path, row: Any) -> RawPage:
    path.write_text(json.dumps(row) + "\n")
    (page,) = read_all(path)
    return page


def test_text_files_by_name_by_glob_and_by_folder_are_the_same_pages(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "pages", Marie_Curie__txt="Born in 1867.", Pierre__md="# Pierre", Zoe__txt__xz=lzma.compress(b"Z.")
    )
    expected = [("Marie Curie", "Born in 1867."), ("Pierre", "# Pierre"), ("Zoe", "Z.")]
    for sources in ([folder], sorted(folder.iterdir()), [f"{folder}/*"]):
        assert [(page.title, page.text) for page in read_all(*sources)] == expected
        assert [(page.title, page.text) for page in read_all(*sources, format="folder")] == expected


def test_a_folder_of_all_kinds_is_read_whole_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    folder = fill(
        tmp_path / "mixed",
        a__jsonl=ROW,
        b__txt="Text.",
        c__pdf=b"%PDF-1.7 \x00\xff",
        d__xml=DUMP,
        e__svg="<svg></svg>",
        f__json='{\n  "title": "F",\n  "text": "f"\n}\n',
        _SUCCESS="",
        _part__txt="left out",
        empty__parquet="",
    )
    pages = read_all(folder)
    assert sorted(page.title for page in pages if not page.error) == ["A", "D", "F", "b"]
    rejects = [row for page in pages if page.error for row in make_outcome(page, CorpusConfig()).rows]
    assert [(row.reason, row.detail.split(" ")[0]) for row in rejects if isinstance(row, Reject)] == [
        ("unknown_format", "c.pdf"),
        ("unknown_format", "e.svg"),
        ("unknown_format", "empty.parquet"),
    ]
    assert len({page.key for page in pages}) == len(pages)


def test_json_in_a_folder_is_lines_shards_or_pages_by_its_content(tmp_path: Path) -> None:
    lines = fill(tmp_path / "lines", part_0__json=ROW * 3, part_1__json=ROW * 2)
    assert [page.text for page in read_all(lines)] == ["Some text of A."] * 5
    shard = '{"index": {"_id": "7"}}\n{"title": "T", "text": "x", "version": 3, "redirect": [{"title": "U"}]}\n'
    name = "enwiki_content-20260101-00000__json__bz2"
    cirrus = fill(tmp_path / "cirrus", **{name: bz2.compress(shard.encode())}, _SUCCESS="")
    for folder in (cirrus, fill(tmp_path / "unpacked", **{name.removesuffix("__bz2"): shard})):
        (page,) = read_all(folder)
        assert (page.page_id, page.revision_id, page.aliases, page.whole) == (7, 3, ("U",), True)
    outer = tmp_path / "20260101"
    outer.mkdir()
    cirrus.rename(outer / "index_name=enwiki_content")
    assert [page.title for page in read_all(outer)] == ["T"]
    long = '{"title": "Long", "text": "' + "x " * 5000 + '"}'
    pages = fill(
        tmp_path / "pages", a__json=ROW, b__json=json.dumps({"title": "B", "text": "b"}, indent=1), c__json=long
    )
    assert expand_sources(CorpusConfig(sources=(str(pages),))) == [str(pages)]
    assert [page.title for page in read_all(pages)] == ["A", "B", "Long"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "<b>bold</b> words", SourceFormat.FOLDER),
        ("a.txt", "{{Infobox}} words", SourceFormat.FOLDER),
        ("a.txt", "", SourceFormat.FOLDER),
        ("a.txt", ROW, SourceFormat.JSONL),
        ("a.jsonl", "{torn\n" + ROW, SourceFormat.JSONL),
        ("a.jsonl", "torn\n" + ROW, SourceFormat.JSONL),
        ("a.json", ROW * 2, SourceFormat.JSONL),
        ("a.dump", DUMP, SourceFormat.MEDIAWIKI),
        ("a.gz", '{"index": {}}\n', SourceFormat.CIRRUS),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str, expected: SourceFormat) -> None:
    (tmp_path / name).write_text(content)
    assert detect_format(tmp_path / name) is expected


def test_all_that_cannot_be_read_is_named_before_the_first_page(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", a__jsonl=ROW, b__pdf="%PDF", c__doc="word")
    with pytest.raises(SourceError) as error:
        read_all(folder / "a.jsonl", folder / "b.pdf", "none.xml", folder / "c.doc")
    assert all(name in error.value.what for name in (str(folder / "b.pdf"), "none.xml", "c.doc"))
    assert "a.jsonl" not in error.value.what
    assert all(suffix in error.value.fix for suffix in (".xml", ".jsonl", ".parquet", ".txt", ".md"))
    for only in (fill(tmp_path / "foreign", b__pdf="%PDF"), fill(tmp_path / "empty")):
        with pytest.raises(SourceError, match=only.name):
            read_all(only)


def test_format_folder_names_what_is_no_page_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "x", a__xml=DUMP, b__txt="b", c__json=ROW * 2)
    with pytest.raises(SourceError, match=r"a\.xml is not a page file"):
        read_all(folder / "a.xml", format="folder")
    assert [(page.title, page.fault if page.error else "") for page in read_all(folder, format="folder")] == [
        ("", "unknown_format"),
        ("b", ""),
        ("", "broken_text"),
    ]


PARAGRAPHS = ["Ann\n", "Ann is a town.\n", "Section::::History.\n", "BULLET::::- It was founded in 1850.\n"]
STRUCTURED = {
    "name": "Ann",
    "identifier": 12,
    "version": {"identifier": 34},
    "abstract": "Ann",
    "sections": [
        {"type": "section", "name": "Abstract", "has_parts": [{"type": "paragraph", "value": "Ann is a town."}]},
        {
            "type": "section",
            "name": "History",
            "has_parts": [
                {"type": "image", "value": "a picture"},
                {"type": "list", "has_parts": [{"type": "list_item", "value": "It was founded in 1850."}]},
            ],
        },
    ],
}
LINES = "Ann is a town.\n- It was founded in 1850."


@pytest.mark.parametrize(
    ("row", "text", "page_id", "revision_id"),
    [
        ({"id": "5", "contents": '"Ann"\nAnn is a town.'}, "Ann is a town.", 5, None),
        ({"id": "12", "revid": "34", "url": "u", "title": "Ann", "text": "Ann is a town."}, "Ann is a town.", 12, 34),
        ({"wikipedia_id": "12", "wikipedia_title": "Ann", "text": PARAGRAPHS}, LINES, 12, None),
        ({"wikipedia_id": "12", "wikipedia_title": "Ann", "text": {"paragraph": PARAGRAPHS}}, LINES, 12, None),
        (STRUCTURED, LINES, 12, 34),
        ({**STRUCTURED, "sections": json.dumps(STRUCTURED["sections"])}, LINES, 12, 34),
    ],
)
def test_layouts_of_rows(tmp_path: Path, row: dict[str, Any], text: str, page_id: int, revision_id: int | None) -> None:
    page = one_row(tmp_path / "a.jsonl", row)
    (document,) = make_outcome(page, CorpusConfig()).rows
    assert isinstance(document, Document)
    assert (document.title, document.text) == ("Ann", text)
    assert (document.page_id, document.revision_id) == (page_id, revision_id)
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    assert read_all(tmp_path / "a.parquet") == [RawPage(**{**fields_of(page), "source": "a.parquet"})]


def fields_of(page: RawPage) -> dict[str, Any]:
    return {name: getattr(page, name) for name in RawPage.__slots__}


def test_text_columns_of_a_table_that_are_not_marked_as_text(tmp_path: Path) -> None:
    table = pa.table({"title": [b"A", b"B"], "text": ["Grüße".encode(), b"\xff\xfe"]})
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = read_all(tmp_path / "a.parquet")
    assert (first.title, first.text, first.error) == ("A", "Grüße", "")
    assert [row.reason for row in make_outcome(second, CorpusConfig()).rows if isinstance(row, Reject)] == [
        "broken_text"
    ]


def test_a_row_without_title_and_text_names_its_keys(tmp_path: Path) -> None:
    page = one_row(tmp_path / "a.jsonl", {"doc": 1, "body": "x"})
    assert page.error.endswith("keys seen: body, doc")


def test_passages_are_kept_and_stubs_of_a_wiki_are_not(tmp_path: Path) -> None:
    short = DUMP.replace(">x<", ">A stub.<")
    rows = {"a.jsonl": ROW, "b.txt": "A passage.", "c.xml": short, "cirrus.json": '{"title": "C", "text": "A stub."}\n'}
    for name, content in rows.items():
        (tmp_path / name).write_text(content)
    kept = {
        number: [
            isinstance(make_outcome(page, CorpusConfig(min_chars=number)).rows[0], Document)
            for page in read_all(tmp_path)
        ]
        for number in (None, 1, 200)
    }
    assert sorted(kept[None]) == [False, False, True, True]
    assert (all(kept[1]), any(kept[200])) == (True, False)
    empty = one_row(tmp_path / "empty.jsonl", {"title": "E", "text": " "})
    assert [row.reason for row in make_outcome(empty, CorpusConfig()).rows if isinstance(row, Reject)] == ["too_short"]
