"""Readers of pages: every format and compression gives the same pages, and damage is named where it stands."""

import bz2
import gzip
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import mwxml
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.corpus.readers.opening import detect_format, expand_sources, open_source
from pipeline.corpus.readers.raw_page import BROKEN, PLAIN, RawPage
from pipeline.errors import SourceError
from schemas.config import CorpusConfig, SourceFormat
from tests.support.places import SHARED

SITE = '<siteinfo><namespaces><namespace key="0" /><namespace key="4">Project</namespace></namespaces></siteinfo>'


def page_xml(number: int, text: str = "Some '''text'''.", title: str = "", extra: str = "", ns: int = 0) -> str:
    return (
        f"<page><title>{title or f'Page {number}'}</title><ns>{ns}</ns><id>{number}</id>{extra}"
        f"<revision><id>1{number}</id><timestamp>2020-01-01T00:00:00Z</timestamp><contributor><ip>::1</ip></contributor>"
        f'<model>wikitext</model><format>text/x-wiki</format><text xml:space="preserve">{text}</text>'
        "<sha1>abc</sha1></revision></page>\n"
    )


def dump_xml(*pages: str, site: str = SITE, version: str = "0.10") -> str:
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-{version}/">\n{site}\n{"".join(pages)}</mediawiki>\n'


def read(path: Path, **settings: str) -> list[RawPage]:
    return list(open_source(str(path), CorpusConfig.model_validate(settings)))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


SAMPLE = dump_xml(
    page_xml(1, "Text é中 &lt;ref&gt;x&lt;/ref&gt;"),
    page_xml(2, "#REDIRECT [[Page 1]]", extra='<redirect title="Page 1" />'),
    page_xml(3, "Rules", title="Project:Rules", ns=4),
)


def multistream(data: bytes) -> bytes:
    return b"".join(bz2.compress(part) for part in (data[:90], data[90:400], data[400:]))


@pytest.mark.parametrize(
    ("name", "encode"),
    [
        ("a.xml", lambda text: text.encode()),
        ("a.xml.bz2", lambda text: bz2.compress(text.encode())),
        ("multistream.xml.bz2", lambda text: multistream(text.encode())),
        ("a.xml.gz", lambda text: gzip.compress(text.encode())),
        ("a.xml.zst", lambda text: zstandard.compress(text.encode()[:200]) + zstandard.compress(text.encode()[200:])),
        ("bom.xml", lambda text: text.encode("utf-16")),
        ("le.xml", lambda text: text.encode("utf-16-le")),
        ("declared.xml", lambda text: ('<?xml version="1.0" encoding="utf-16"?>' + text).encode("utf-16")),
        ("no_suffix", lambda text: bz2.compress(text.encode("utf-8-sig"))),
    ],
)
def test_dumps_of_every_kind_give_the_same_pages(tmp_path: Path, name: str, encode: Callable[[str], bytes]) -> None:
    first, second, third = read(write(tmp_path / name, encode(SAMPLE)))
    assert first == RawPage(name, 0, "Page 1", "Text é中 <ref>x</ref>", page_id=1, revision_id=11)
    assert (second.redirect, second.key) == ("Page 1", f"{name}:1")
    assert (third.namespace, third.title) == (4, "Project:Rules")


def test_schema_0_11_and_the_last_revision_of_several(tmp_path: Path) -> None:
    page = (
        "<page><title>T</title><ns>0</ns><id>7</id>"
        "<revision><id>1</id><timestamp>2020-01-01T00:00:00Z</timestamp><origin>1</origin><model>wikitext</model>"
        '<format>text/x-wiki</format><text bytes="3" sha1="x" xml:space="preserve">old</text><sha1>x</sha1></revision>'
        "<revision><id>2</id><timestamp>2021-01-01T00:00:00Z</timestamp><origin>2</origin><model>json</model>"
        '<format>text/x-wiki</format><text bytes="3" sha1="x" xml:space="preserve">new</text>'
        "<sha1>x</sha1></revision></page>"
    )
    (only,) = read(write(tmp_path / "a.xml", dump_xml(page, version="0.11").encode()))
    assert (only.text, only.revision_id, only.model, only.page_id) == ("new", 2, "json", 7)


def test_a_dump_without_siteinfo_is_read_all_the_same(tmp_path: Path) -> None:
    assert [page.title for page in read(write(tmp_path / "a.xml", dump_xml(page_xml(1), site="").encode()))] == [
        "Page 1"
    ]


def test_a_page_that_breaks_the_reader_is_one_page(tmp_path: Path) -> None:
    odd = "<page><title>Odd</title><ns>none</ns><id>5</id><surprise /></page>"
    pages = read(write(tmp_path / "a.xml", dump_xml(page_xml(1), odd, page_xml(2)).encode()))
    assert [bool(page.error) for page in pages] == [False, True, False]
    assert pages[2].title == "Page 2"


def test_broken_utf_8_breaks_one_page_only(tmp_path: Path) -> None:
    data = dump_xml(page_xml(1), page_xml(2, "bad @ here"), page_xml(3, "bad # here")).encode()
    data = data.replace(b"@", b"\xff\xfe").replace(b"#", b"\x01")
    pages = read(write(tmp_path / "a.xml", data))
    assert [BROKEN in page.text for page in pages] == [False, True, True]


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress, zstandard.compress, bytes])
def test_a_truncated_dump_gives_its_pages_then_the_damage(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    # Text that compresses badly, so that bz2 needs several blocks.
    noise = [bytes((n * n * 31 + n * k) % 89 + 35 for k in range(2500)).decode() for n in range(900)]
    pages = [page_xml(n, f"{n} " + text.replace("<", ".").replace("&", ".")) for n, text in enumerate(noise)]
    data = compress(dump_xml(*pages).encode())
    path = write(tmp_path / "cut.xml", data[: int(len(data) * 0.8)])
    stream = open_source(str(path), CorpusConfig())
    found: list[str] = []
    with pytest.raises(SourceError, match=r"truncated.*after \d+ pages") as error:
        found.extend(page.title for page in stream)
    assert error.value.fix


def test_pages_before_the_damage_are_kept(tmp_path: Path) -> None:
    whole = bz2.compress(dump_xml(page_xml(1), page_xml(2)).encode().split(b"</mediawiki>")[0])
    path = write(tmp_path / "cut.xml.bz2", whole + bz2.compress(page_xml(3).encode())[:-20])
    stream = open_source(str(path), CorpusConfig())
    assert [page.title for page in islice(stream, 2)] == ["Page 1", "Page 2"]
    with pytest.raises(SourceError, match="truncated"):
        next(stream)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dump_xml().encode(), "contains no pages"),
        (b"", "is empty"),
        (b"<html><body /></html>", "MediaWiki dump"),
        (b"just words", "unknown format"),
        (dump_xml(page_xml(1), "<page></wrong>").encode(), "broken XML after 1 pages"),
        (b"\x1f\x8b\x09 broken broken", "not readable"),
        (b"PAR1 broken", "readable Parquet"),
        ("<mediawiki>é".encode("utf-16-le") + b"\x00\xd8\x41", "valid utf"),
    ],
)
def test_bad_sources_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(write(tmp_path / "bad", data))


def test_cirrus_dumps(tmp_path: Path) -> None:
    lines = [
        {"index": {"_type": "page", "_id": "12"}},
        {
            "title": "T",
            "text": "Plain [[text]].",
            "namespace": 0,
            "version": 34,
            "redirect": [{"namespace": 0, "title": "U"}],
        },
        {"index": {"_id": "13"}},
        {"title": "Talk:T", "text": "x", "namespace": 1, "page_id": 14},
    ]
    data = gzip.compress("\n".join(json.dumps(line) for line in lines).encode())
    first, second = read(write(tmp_path / "wiki-cirrussearch-content.json.gz", data))
    assert first == RawPage(
        "wiki-cirrussearch-content.json.gz",
        0,
        "T",
        "Plain [[text]].",
        PLAIN,
        page_id=12,
        revision_id=34,
        aliases=("U",),
    )
    assert (second.page_id, second.namespace) == (14, 1)


def test_json_lines(tmp_path: Path) -> None:
    lines = [
        '{"id": "5", "title": "A", "text": "x", "url": "u"}',
        "",
        '{"title": "B"}',
        "{torn",
        '{"title": "\\ud800", "text": ""}',
    ]
    pages = read(write(tmp_path / "a.jsonl.zst", zstandard.compress("\n".join(lines).encode())))
    assert [(page.title, page.page_id, bool(page.error)) for page in pages] == [
        ("A", 5, False), ("", None, True), ("", None, True), ("", None, True),
    ]  # fmt: skip


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"id": ["1", "2"], "url": ["", ""], "title": ["A", "B"], "text": ["x", None]})
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert first == RawPage("a.parquet", 0, "A", "x", PLAIN, page_id=1, whole=False)
    assert second.error
    pq.write_table(table.drop_columns(["text"]), tmp_path / "b.parquet")
    with pytest.raises(SourceError, match="no columns title and text"):
        read(tmp_path / "b.parquet")


def test_a_folder_of_pages(tmp_path: Path) -> None:
    (tmp_path / "Some_page.txt").write_text("Text.", encoding="utf-8")
    (tmp_path / "b.json").write_text('{"title": "B", "text": "x"}', encoding="utf-8")
    assert [(page.title, page.text) for page in read(tmp_path)] == [("Some page", "Text."), ("B", "x")]


def test_sources_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.xml"):
        write(
            tmp_path / name,
            b'{"title": "T", "text": "x"}' if name.endswith("l") and "x" not in name else b"<mediawiki>",
        )
    names = expand_sources(
        CorpusConfig(sources=(str(tmp_path / "c.xml"), str(tmp_path / "*.jsonl"), "hf:o/n", str(tmp_path)))
    )
    assert [Path(name).name for name in names] == ["c.xml", "a.jsonl", "b.jsonl", "n"]
    assert detect_format(tmp_path / "a.jsonl") is SourceFormat.JSONL
    for sources in ((), ("missing.xml",)):
        with pytest.raises(SourceError):
            expand_sources(CorpusConfig(sources=sources))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="no shared data beside the checkout")
@pytest.mark.parametrize("name", ["enwiki-sample.xml.bz2", "bgwiki-sample-utf16.xml.bz2"])
def test_real_dumps_read_as_mwxml_reads_them(name: str) -> None:
    ours = [(page.page_id, page.title, page.namespace, page.redirect, page.text) for page in read(SHARED / name)]
    encoding = "utf-16" if "utf16" in name else "utf-8"
    with bz2.open(SHARED / name, "rt", encoding=encoding) as file:
        theirs = [
            (page.id, page.title, page.namespace, page.redirect, list(page)[-1].text or "")
            for page in mwxml.Dump.from_file(file)
        ]
    assert ours == theirs
