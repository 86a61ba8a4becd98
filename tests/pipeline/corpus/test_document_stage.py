"""From raw pages to documents, redirects and rejects with a reason."""

import json
from collections import Counter
from functools import reduce
from operator import add
from typing import Any

import pytest

from pipeline.corpus import document_stage
from pipeline.corpus.document_stage import DocumentStage, make_outcome
from pipeline.corpus.readers.opening import open_source
from pipeline.corpus.readers.raw_page import BROKEN, PLAIN, RawPage
from schemas.config import CorpusConfig
from schemas.documents import HOLE, Document, Redirect
from schemas.funnel import Reject
from tests.support.places import SHARED

SAMPLE = SHARED / "enwiki-sample.xml.bz2"
CONFIG = CorpusConfig(min_chars=10)
ARTICLE = "'''Ann''' lives in [[Oslo (city)|Oslo]] since 1980.\n\n== Work ==\nShe {{unknown|x}} sings."


def page(text: str = ARTICLE, title: str = "Ann", **fields: Any) -> RawPage:
    return RawPage("a.xml", 0, title, text, **fields)


def reason(raw: RawPage, config: CorpusConfig = CONFIG) -> str:
    outcome = make_outcome(raw, config)
    rejects = [row for row in outcome.rows if isinstance(row, Reject)]
    assert [step.rejected for step in outcome.funnel] == [{row.reason: 1} for row in rejects] or not rejects
    assert all(row.input_id == outcome.key == raw.key for row in rejects)
    return rejects[0].reason if rejects else ""


def test_an_article_becomes_a_document() -> None:
    (document,) = make_outcome(page(page_id=7, revision_id=8), CONFIG).rows
    assert isinstance(document, Document)
    assert document.text == f"Ann lives in Oslo since 1980.\n\nShe {HOLE} sings."
    assert [(s.start, s.path) for s in document.sections] == [(0, ()), (31, ("Work",))]
    assert [(document.text[link.start : link.end], link.target) for link in document.links] == [("Oslo", "Oslo (city)")]
    assert (document.page_id, document.revision_id, document.source) == (7, 8, "a.xml")
    again = make_outcome(RawPage("b.xml", 5, "Ann", ARTICLE, page_id=7), CONFIG).rows[0]
    assert again.key == document.key


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (page("#REDIRECT [[Oslo]]"), "redirect"),
        (page("#重定向[[Oslo]]"), "redirect"),
        (page("x", redirect="Oslo"), "redirect"),
        (page(ARTICLE + "{{disambiguation|geo}}"), "disambiguation"),
        (page(ARTICLE + "{{hndis|Ann}}"), "disambiguation"),
        (page(ARTICLE + "{{消歧义}}"), "disambiguation"),
        (page(title="Ann (disambiguation)"), "disambiguation"),
        (page(title="安 (消歧義)"), "disambiguation"),
        (page("Ann may refer to:\nAnn, a town", model=PLAIN), "disambiguation"),
        (page(title="List of towns"), "list_page"),
        (page(title="城市列表"), "list_page"),
        (page(namespace=4), "not_article"),
        (page(model="css"), "not_article"),
        (page("{{Infobox|x}}"), "too_short"),
        (page("x" * 2000), "page_too_large"),
        (page(f"some {BROKEN} text"), "broken_text"),
        (page("", error="no JSON"), "broken_text"),
        (page(), ""),
    ],
)
def test_pages_are_rejected_by_name(raw: RawPage, expected: str) -> None:
    assert reason(raw, CorpusConfig(min_chars=10, max_page_chars=1000)) == expected


def test_a_page_that_breaks_the_parser_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(document_stage, "clean_wikitext", fail)
    (reject,) = make_outcome(page(), CONFIG).rows
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.detail) == ("parse_failed", "Ann: RecursionError: too deep")


def test_redirects_are_rows_of_their_own() -> None:
    rows = make_outcome(page("#REDIRECT [[oslo_city#Part|x]]", title="Christiania"), CONFIG).rows
    assert [(row.title, row.target) for row in rows if isinstance(row, Redirect)] == [("Christiania", "Oslo city")]
    rows = make_outcome(page("Plain text of a page.", model=PLAIN, aliases=("Anna", "ann", "Ann K.")), CONFIG).rows
    assert [(row.title, row.target) for row in rows if isinstance(row, Redirect)] == [
        ("Anna", "Ann"),
        ("Ann K.", "Ann"),
    ]
    assert isinstance(rows[0], Document)


def test_characters_that_parquet_refuses_never_reach_a_document() -> None:
    raw = page("A \ud800 line\x00 with\ufeff marks.\u2028More [[Some\x01 page|li\udfffnk]].", title="A\ud800nn")
    (document,) = make_outcome(raw, CONFIG).rows
    json.dumps(document.model_dump(), ensure_ascii=False).encode("utf-8")
    assert isinstance(document, Document)
    assert (document.title, document.text) == ("Ann", "A line with marks. More link.")
    (plain,) = make_outcome(page("A \ud800 line\x00.\r\n\r\n Two\tthree. \n", model=PLAIN), CONFIG).rows
    assert isinstance(plain, Document)
    assert plain.text == "A line.\nTwo three."


def test_chinese_can_be_folded() -> None:
    config = CorpusConfig(lang="zh", simplify_chinese=True, min_chars=2)
    (document,) = make_outcome(page("'''臺灣'''的[[頭髮]]與[[發展]]。", title="臺灣"), config).rows
    assert isinstance(document, Document)
    assert (document.title, document.text) == ("台湾", "台湾的头发与发展。")
    assert [(document.text[link.start : link.end], link.target) for link in document.links] == [
        ("头发", "头发"),
        ("发展", "发展"),
    ]


@pytest.mark.shared
@pytest.mark.skipif(not SAMPLE.exists(), reason="no shared data beside the checkout")
def test_the_sample_dump_comes_out_clean() -> None:
    config = CorpusConfig()
    outcomes = list(DocumentStage(config).run(open_source(str(SAMPLE), config)))
    funnel = reduce(add, (outcome.funnel[0] for outcome in outcomes))
    assert (funnel.entered, funnel.rejected["redirect"]) == (206, 99)
    assert funnel.passed >= 95
    documents = [row for outcome in outcomes for row in outcome.rows if isinstance(row, Document)]
    kinds = Counter(type(row) for outcome in outcomes for row in outcome.rows)
    assert kinds[Redirect] == 99
    text = "\n".join(document.text for document in documents)
    assert not any(token in text for token in ("{{", "}}", "[[", "]]", "<ref", "thumb|", "Category:", "&nbsp;", "  "))
    lines = text.split("\n")
    assert sum(HOLE in line for line in lines) < 0.015 * len(lines)
    assert sum(len(document.links) for document in documents) > 20_000
    for document in documents:
        assert all(document.text[link.start : link.end].strip() for link in document.links)
        assert all(
            section.start == 0 or document.text[section.start - 2 : section.start] == "\n\n"
            for section in document.sections
        )
