"""What a source may hold without harm: rows of any shape, pages of any size, files that unpack to gigabytes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.document_stage import make_outcome
from pipeline.corpus.readers.opening import open_source
from pipeline.corpus.readers.raw_page import TOO_LARGE, RawPage
from pipeline.errors import SourceError
from schemas.config import CorpusConfig, SourceFormat
from schemas.funnel import Reject
from schemas.record import Record
from tests.pipeline.corpus.test_page_readers import dump_xml, page_xml
from tests.support.growth import LINEAR, cpu_growth

CONFIG = CorpusConfig(max_page_chars=1000)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("title", "text", "contents", "sections", "id", "page_id", "namespace", "version", "redirect", "index", "_id")
ROWS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=len(FIELDS)) | VALUES


def outcomes(path: Path, format_: SourceFormat = SourceFormat.AUTO) -> list[Record]:
    """Every row that the pages of a source become. Raises SourceError where it cannot be read."""
    config = CONFIG.model_copy(update={"format": format_})
    rows = [row for page in open_source(str(path), config) for row in make_outcome(page, config).rows]
    for row in rows:
        pa.scalar(getattr(row, "page_id", None), pa.int64())
    return rows


def fault(path: Path, format_: SourceFormat = SourceFormat.AUTO) -> str:
    """What is said of a source that cannot be read; empty where it can be."""
    try:
        outcomes(path, format_)
    except SourceError as error:
        return error.what
    return ""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5), cirrus=st.booleans())
def test_rows_of_any_shape_are_pages_or_rejects(scratch: Path, rows: list[Any], cirrus: bool) -> None:
    path = scratch / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    said = fault(path, SourceFormat.CIRRUS if cirrus else SourceFormat.JSONL)
    assert said == "" or (cirrus and "contains no pages" in said)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1), min_size=1, max_size=4))
def test_tables_of_any_columns_are_pages_or_one_error(scratch: Path, rows: list[dict[str, Any]]) -> None:
    try:
        table = pa.Table.from_pylist(rows)
        pq.write_table(table, scratch / "a.parquet")
    except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
        return
    said = fault(scratch / "a.parquet")
    assert said == "" or "has no columns title and text" in said


MUTATIONS = st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=0, max_size=6)), min_size=1, max_size=6)


def mutate(data: bytes, mutations: list[tuple[int, bytes]]) -> bytes:
    for place, piece in mutations:
        at = place % len(data)
        data = data[:at] + piece + data[at + len(piece) // 2 :]
    return data


@settings(max_examples=300, deadline=None)
@given(mutations=MUTATIONS, kind=st.sampled_from(["xml", "parquet", "cirrus", "gz"]))
def test_damaged_files_are_pages_or_one_error(scratch: Path, mutations: list[tuple[int, bytes]], kind: str) -> None:
    (scratch / "mutated").write_bytes(mutate(WHOLE[kind](), mutations))
    said = fault(scratch / "mutated", SourceFormat.CIRRUS if kind == "cirrus" else SourceFormat.AUTO)
    assert said == "" or ("mutated" in said and "\n" not in said)


def make_table() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": [1, 2], "title": ["A", "B"], "text": ["Text of A.", "Text of B."]}), sink)
    return bytes(sink.getvalue())


LINE = json.dumps({"title": "T", "text": "x", "redirect": [{"title": "U"}], "namespace": 0, "version": 3})
WHOLE: dict[str, Callable[[], bytes]] = {
    "xml": lambda: dump_xml(
        page_xml(1), page_xml(2, "#REDIRECT [[Page 1]]", extra='<redirect title="Page 1" />')
    ).encode(),
    "parquet": make_table,
    "cirrus": lambda: ('{"index": {"_id": "1"}}\n' + LINE + "\n").encode() * 3,
    "gz": lambda: gzip.compress(dump_xml(page_xml(1)).encode()),
}


@pytest.mark.parametrize("value", [5, True, 1.5, "U", {"title": "U"}, [5, None, {"title": 5}]])
def test_redirects_of_a_wrong_type_cost_nothing_else(tmp_path: Path, value: object) -> None:
    (tmp_path / "cirrus.json").write_text(
        json.dumps({"title": "T", "text": "x", "redirect": value}) + "\n" + LINE + "\n"
    )
    pages = list(open_source(str(tmp_path / "cirrus.json"), CONFIG))
    assert [(page.title, page.aliases) for page in pages] == [("T", ()), ("T", ("U",))]


def reasons(path: Path) -> list[str]:
    return [row.reason for row in outcomes(path) if isinstance(row, Reject)]


def write_dump(path: Path, *pages: str, site: str = "") -> Path:
    path.write_text(dump_xml(*pages, site=site))
    return path


def test_an_id_beyond_64_bits_rejects_its_page_alone(tmp_path: Path) -> None:
    wrong = page_xml(99999999999999999999) + page_xml(2).replace("<id>12</id>", "<id>-9223372036854775809</id>")
    path = write_dump(tmp_path / "a.xml", page_xml(1), wrong, page_xml(3))
    assert [bool(page.error) for page in open_source(str(path), CONFIG)] == [False, True, True, False]
    assert reasons(path)[1:3] == ["broken_text", "broken_text"]


@pytest.mark.parametrize(
    "site",
    [
        "<siteinfo><namespaces><namespace>Talk</namespace></namespaces></siteinfo>",
        '<siteinfo><namespaces><stray /><namespace key="x">Talk</namespace></namespaces></siteinfo>',
        "<siteinfo><b>?</b></siteinfo><siteinfo />",
        '<siteinfo><namespaces><namespace key="1">Ta<b>l</b>k</namespace></namespaces></siteinfo>',
    ],
)
def test_a_broken_siteinfo_costs_no_page(tmp_path: Path, site: str) -> None:
    path = write_dump(tmp_path / "a.xml", page_xml(1), page_xml(2), site=site)
    assert [page.title for page in open_source(str(path), CONFIG)] == ["Page 1", "Page 2"]


@pytest.mark.parametrize("text", ["before <b>bold</b> after", "<ref name='x'/>", "a<text>b</text>c", "<page></page>"])
def test_tags_that_are_not_escaped_reject_their_page(tmp_path: Path, text: str) -> None:
    path = write_dump(tmp_path / "a.xml", page_xml(1), page_xml(2, text), page_xml(3))
    assert [bool(page.error) for page in open_source(str(path), CONFIG)] == [False, True, False]


def test_pages_that_are_too_large_are_cut_off_where_they_are_read(tmp_path: Path) -> None:
    large = "x" * 5000
    write_dump(tmp_path / "a.xml", page_xml(1, "ok"), page_xml(2, large), page_xml(3, "&lt;" + large))
    (tmp_path / "b.jsonl").write_text(json.dumps({"title": "T", "text": large}) + "\n")
    (tmp_path / "c.txt").write_text(large)
    (tmp_path / "d.jsonl").write_text('{"title": "T", "text": "' + "x" * (2 << 20) + '"}\n' + LINE)
    pq.write_table(pa.table({"title": ["T"], "text": [large]}), tmp_path / "e.parquet")
    for name in ("a.xml", "b.jsonl", "c.txt", "d.jsonl", "e.parquet"):
        pages: list[RawPage] = list(open_source(str(tmp_path / name), CONFIG))
        assert max(len(page.text) for page in pages) <= 1001
        assert TOO_LARGE in reasons(tmp_path / name), name
    exact = write_dump(tmp_path / "f.xml", page_xml(1, "word " * 200))
    assert TOO_LARGE not in reasons(exact)


def pieces(size: int) -> Iterator[bytes]:
    block = b"x" * (1 << 20)
    return (block for _ in range(size >> 20))


XML_HEAD = b"<mediawiki><page><title>T</title><ns>0</ns><id>1</id><revision><id>2</id><text>"
XML_TAIL = b"</text></revision></page></mediawiki>"
SHAPES: dict[str, tuple[bytes, bytes]] = {
    "a.xml": (XML_HEAD, XML_TAIL),
    "cdata.xml": (XML_HEAD + b"<![CDATA[", b"]]>" + XML_TAIL),
    "comment.xml": (XML_HEAD + b"<!-- ", b" -->" + XML_TAIL),
    "a.jsonl": (b'{"title": "T", "text": "', b'"}\n'),
    "cirrus.json": (b'{"title": "T", "text": "', b'"}\n'),
    "a.json": (b'{\n"title": "T", "text": "', b'"}\n'),
    "a.txt": (b"T ", b"."),
}
WRITERS: dict[str, Callable[[Any], Any]] = {
    "zst": lambda file: zstandard.ZstdCompressor(level=1).stream_writer(file, closefd=False),
    "gz": lambda file: gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1),
    "bz2": lambda file: bz2.BZ2File(file, "wb", compresslevel=1),
    "xz": partial(lzma.LZMAFile, mode="wb", preset=0),
}
PEAK = """
import resource, sys
from pipeline.corpus.readers.opening import open_source
from schemas.config import CorpusConfig
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
list(open_source(sys.argv[1], CorpusConfig()))
before = peak()
try:
    list(open_source(sys.argv[2], CorpusConfig()))
except Exception as error:
    print(type(error).__name__)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [f"{name}.{kind}" for name in SHAPES for kind in ("zst", "gz")] + ["a.xml.bz2", "a.xml.xz"]
)
def test_a_small_file_that_unpacks_to_much_takes_little_memory(tmp_path: Path, shape: str) -> None:
    """At most 100 MB over what a small file takes, for 400 MB unpacked."""
    name, _, kind = shape.rpartition(".")
    head, tail = SHAPES[name]
    for path, size in ((tmp_path / f"small-{shape}", 1 << 20), (tmp_path / shape, 400 << 20)):
        with path.open("wb") as file, WRITERS[kind](file) as packed:
            for piece in (head, *pieces(size), tail):
                packed.write(piece)
    words = [sys.executable, "-c", PEAK, str(tmp_path / f"small-{shape}"), str(tmp_path / shape)]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    assert float(output[-1]) < 100
    assert output[:-1] == (["SourceError"] if name.startswith("comment") else [])


def many_lines(count: int) -> bytes:
    return (LINE + "\n").encode() * count


GROWING: dict[str, Callable[[int], bytes]] = {
    "lines.jsonl": many_lines,
    "cirrus.json": many_lines,
    "line.jsonl": lambda n: SHAPES["a.jsonl"][0] + b"x" * (n * 300) + SHAPES["a.jsonl"][1],
    "dump.xml": lambda n: dump_xml(*(page_xml(number) for number in range(n))).encode(),
    "page.xml": lambda n: XML_HEAD + b"word &lt;b&gt;\n" * (n * 20) + XML_TAIL,
    "tags.xml": lambda n: XML_HEAD + b"<b/>" * (n * 20) + XML_TAIL,
    "revisions.xml": lambda n: XML_HEAD + b"x" + b"</text></revision><revision><id>3</id><text>y" * n + XML_TAIL,
    "comments.xml": lambda n: XML_HEAD + b"<!-- x -->" * (n * 20) + XML_TAIL,
    "text.txt": lambda n: b"word word\n" * (n * 50),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GROWING)
def test_time_grows_with_the_file(tmp_path: Path, name: str) -> None:
    def make(size: int) -> Path:
        path = tmp_path / f"{size}-{name}"
        if not path.exists():
            path.write_bytes(GROWING[name](size))
        return path

    assert cpu_growth(make, lambda path: list(open_source(str(path), CorpusConfig()))) <= LINEAR


@pytest.mark.slow
def test_time_grows_with_the_table_and_with_the_folder(tmp_path: Path) -> None:
    def make_table(size: int) -> Path:
        path = tmp_path / f"{size}.parquet"
        pq.write_table(pa.table({"title": ["T"] * size, "text": [f"Text {n}" for n in range(size)]}), path)
        return path

    def make_folder(size: int) -> Path:
        folder = tmp_path / f"folder-{size}"
        folder.mkdir(exist_ok=True)
        for number in range(size):
            (folder / f"{number}.txt").write_text("Text.")
        return folder

    assert cpu_growth(make_table, lambda path: list(open_source(str(path), CorpusConfig()))) <= LINEAR
    assert cpu_growth(make_folder, lambda path: list(open_source(str(path), CorpusConfig())), 100) <= LINEAR
