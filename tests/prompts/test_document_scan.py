"""Documents that a model wrote as a search engine: every layout met, and no talk taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.document_scan import Draft, make_draft, read_documents, write_documents
from prompts.reply_scan import LONGEST
from tests.support.growth import LINEAR, cpu_growth

ONE = Draft("Old Bridge", "The bridge was built in 1871. It spans the Mara.")
TWO = Draft("Ion Vasile", "Vasile was an engineer from Lumea.")

LAYOUTS = {
    "ours": "[1] Old Bridge\n{one}\n\n[2] Ion Vasile\n{two}",
    "thoughts first": "<think>Let me see: 1. x</think>[1] Old Bridge\n{one}\n[2] Ion Vasile\n{two}",
    "talk around": "Here are two documents:\n\n[1] Old Bridge\n{one}\n\n[2] Ion Vasile\n{two}\n\nI hope this helps!",
    "points": "1. Old Bridge\n{one}\n2. Ion Vasile\n{two}",
    "bold titles": "1. **Old Bridge**: {one}\n2. **Ion Vasile** - {two}",
    "headings": "### Document 1: Old Bridge\n\n{one}\n\n### Document 2: Ion Vasile\n\n{two}\n\nAsk me for more.",
    "Search-R1": 'Doc 1(Title: "Old Bridge") {one}\nDoc 2(Title: "Ion Vasile") {two}',
    "fields": "Document 1:\nTitle: Old Bridge\nText: {one}\n\nDocument 2:\nTitle: Ion Vasile\nContent: {two}",
    "fenced": "```text\n[1] Old Bridge\n{one}\n\n[2] Ion Vasile\n{two}\n```",
    "bullets": "- Old Bridge\n{one}\n- Ion Vasile\n{two}",
    "tags": "<document>\nOld Bridge\n{one}\n</document>\n<document>\nIon Vasile\n{two}",
    "paragraphs": "Old Bridge\n{one}\n\nIon Vasile\n{two}",
    "objects": '{{"documents": [{{"title": "Old Bridge", "text": "{one}"}}, {{"name": "{name}", "body": "{two}"}}]}}',
    "list": 'Sure:\n```\n[{{"title": "Old Bridge", "text": "{one}"}},\n{{"title": "{name}", "text": "{two}"}}]\n```',
    "cut list": '[{{"title": "Old Bridge", "text": "{one}"}}, {{"title": "{name}", "text": "{two}"}}, {{"tit',
    "cut object": '{{"a": [{{"title": "Old Bridge", "text": "{one}"}}, {{"title": "{name}", "text": "{two}"}}, {{"t',
    "Windows lines": "[1] Old Bridge\r\n{one}\r\n\r\n[2] Ion Vasile\r\n{two}",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_read(layout: str) -> None:
    assert read_documents(layout.format(one=ONE.text, name=TWO.title, two=TWO.text), 5) == [ONE, TWO]


@pytest.mark.parametrize(
    "layout",
    [
        "[1] 老桥\n{one}\n\n[2] 王立强\n{two}",
        "以下是文档：\n\n文档1：老桥\n{one}\n\n文档2：王立强\n{two}",
        "第1篇\n标题：老桥\n正文：{one}\n第2篇\n标题：王立强\n正文：{two}",
        "1、老桥\n{one}\n2、王立强\n{two}",
        "【1】《老桥》\n{one}\n【2】《王立强》\n{two}",
    ],
)
def test_chinese_layouts_are_read(layout: str) -> None:
    one, two = "老桥建于1871年，横跨马拉河。", "王立强是山城的工程师。"
    assert read_documents(layout.format(one=one, two=two), 5) == [Draft("老桥", one), Draft("王立强", two)]


def test_numbers_in_the_text_divide_nothing() -> None:
    text = "The opening was on\n12. May 1871, as\n1871. Years show."
    (document,) = read_documents(f"[1] Old Bridge\n{text}", 5)
    assert document.text == " ".join(text.split())


def test_too_many_missing_and_double_documents() -> None:
    many = "\n\n".join(f"[{n}] Page {n}\nText number {n}." for n in range(1, 30))
    assert [d.title for d in read_documents(many, 3)] == ["Page 1", "Page 2", "Page 3"]
    assert [d.title for d in read_documents("[1] Page 1\nText.\n[3] Page 3\nOther.", 5)] == ["Page 1"]
    assert len(read_documents("[1] A\nSame text.\n\n[2] B\nSame text.", 5)) == 1
    assert read_documents("[1] A\n\n[2] B\nText.", 5)[-1] == Draft("B", "Text.")


def test_a_block_without_title_is_named_by_its_beginning() -> None:
    (document,) = read_documents("The Old Bridge over the Mara near Lumea was built in 1871 by Ion Vasile.", 5)
    assert document.title == "The Old Bridge over the Mara near Lumea"
    (document,) = read_documents("马拉河上的老桥由工程师王立强于1871年建成。", 5)
    assert document.title == document.text.rstrip("。")


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n",
        "<think>No end to this thought",
        "I'm sorry, but I can't help with that.",
        "No documents were found.",
        "抱歉，我无法生成这些内容。",
        "```\n```",
        "***",
        "[]",
        '{"documents": []}',
        '{"error": "overloaded"}',
    ],
)
def test_nothing_is_made_of_nothing(reply: str) -> None:
    assert read_documents(reply, 5) == []


PIECES = st.sampled_from(
    ["[1] ", "[2]", "1. ", "\n", "- ", "**", "<document>", "{", '"', "Title: ", "a.", "年", "\ud800"]
)
SCRAPS = st.lists(PIECES | st.text(max_size=6), max_size=20).map("".join)


@given(SCRAPS, st.integers(1, 5))
def test_whatever_a_model_writes_gives_plain_documents(reply: str, most: int) -> None:
    documents = read_documents(reply, most)
    assert len(documents) <= most
    for document in documents:
        assert document == make_draft(document.title, document.text)
        assert f"{document.title} {document.text}".encode().strip()
        assert "\n" not in document.title + document.text


@given(st.lists(st.tuples(SCRAPS, SCRAPS), max_size=6))
def test_what_was_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    drafts = {d.text.casefold(): d for d in (make_draft(*pair) for pair in pairs) if d}
    assert read_documents(write_documents(list(drafts.values())), 20) == list(drafts.values())


@given(st.integers(1, 900), st.sampled_from(['{"a": ', "[", '[{"a": ', '{"a": [']))
def test_nesting_however_deep_hides_no_document_and_breaks_nothing(depth: int, opening: str) -> None:
    closing = "".join({"{": "}", "[": "]"}[mark] for mark in reversed(opening) if mark in "{[")
    reply = opening * depth + json.dumps({"title": ONE.title, "text": ONE.text}) + closing * depth
    assert [document.text for document in read_documents(reply, 5)] in ([ONE.text], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "scrap",
    [
        *("[1] ", "{", '{"a": ', "<document>", "<document>a\n", "1. \n", "**a", '"', "a ", " \n", "[1] a\n\n", " "),
        *("(title: ", '"\\', "text: ", "*_", "`*", "doc ", "#", "- a\n", '{"', '["', "\t*", "[1]", "第1篇"),
    ],
)
@pytest.mark.parametrize("before", ["", "(title:", "{" * 50, "[1] "])
def test_time_is_linear_in_a_reply_whatever_it_holds(before: str, scrap: str) -> None:
    def read(reply: str) -> None:
        for _ in range(50):  # so that what is measured is shorter than what is looked at of a reply
            read_documents(reply, 5)

    assert cpu_growth(lambda n: (before + scrap * (n // len(scrap)))[:LONGEST], read) <= LINEAR
