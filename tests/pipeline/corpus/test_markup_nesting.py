"""Marks in marks: transclusion, hidden boxes, tables of HTML, brackets in links, and Chinese variants."""

from __future__ import annotations

import pytest

from pipeline.corpus.page_kinds import find_redirect
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.corpus.wikitext.tags import strip_comments
from schemas.documents import HOLE


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<noinclude>A. They</noinclude><includeonly>Since 1911</includeonly> name ships.", "A. They name ships."),
        ("tab<includeonly>x</includeonly>le", "table"),
        ("{{nowrap|5 <IncludeOnly>6</includeonly>km}}", "5 km"),
        ("A.\n<includeonly>\n== B ==\n{{x\n</includeonly>\nC.", "A.\nC."),
        ("A. <onlyinclude>B.</onlyinclude> <includeonly/>C.", "A. B. C."),
        ("A.\n\n<includeonly>never closed", "A."),
        ("<noinclude>\n* A\n</noinclude>", "- A"),
        ("<nowiki><includeonly></nowiki>A", f"{HOLE}A"),
    ],
)  # fmt: skip
def test_what_only_a_transclusion_shows_is_not_shown(markup: str, text: str) -> None:
    assert clean_wikitext(markup, "T").text == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("A <table><tr><td>b<table><td>c</td></table></td><td>1950</td></tr></table> d", "A d"),
        ("A <div style='display:none'><div>b</div> c</div> d", "A d"),
        ('A <span style="color:red; display: none">b <i>c</i> <span>d</span> e</span> f', "A f"),
        ("A <DIV style='DISPLAY:NONE'>b [[c]]</DIV> d", "A d"),
        ("A <div><div style='display:none'>b</div>c</div>", "A c"),
        ("A<ref>b <ref>c</ref> d", "A d"),
    ],
)
def test_hidden_boxes_and_tables_end_with_the_tag_of_their_depth(markup: str, text: str) -> None:
    assert clean_wikitext(markup, "T").text == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("A<!---->b", "Ab"),
        ("A<!-- x -->b", "Ab"),
        ("A\n<!-- x -->\nb", "A\nb"),
        ("A <!--> b --> c", "A  c"),
        ("A <!-- b", "A "),
    ],
)
def test_comments(markup: str, text: str) -> None:
    assert strip_comments(markup) == text


@pytest.mark.parametrize(
    ("markup", "text", "links"),
    [
        ("See [[http://example.com foo bar]] and.", "See foo bar and.", []),
        ("See [[//x/p|Q]] and.", "See Q and.", []),
        ("See [[https://x/p label]] and [[mailto:a@b me]].", "See label and me.", []),
        ("See [[https://x/p]] and.", "See and.", []),
        ('"[[John Entwistle|John [Entwistle]]]" in', '"John [Entwistle]" in', [("John [Entwistle]", "John Entwistle")]),
        ("A [[b|c [d] e]] and [[f|g]h]]", "A c [d] e and g]h", [("c [d] e", "B"), ("g]h", "F")]),
        ("A [[File:a.jpg|thumb|b [http://c d]]] e", "A e", []),
        ("A [[b]]] c", "A b] c", [("b", "B")]),
        ("[[B{{!}}c]] d", "c d", [("c", "B")]),
    ],
)
def test_brackets_in_links(markup: str, text: str, links: list[tuple[str, str]]) -> None:
    page = clean_wikitext(markup, "T")
    assert page.text == text
    assert [(page.text[link.start : link.end], link.target) for link in page.links] == links


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("他使用-{zh-hans:{{lang|en|PC}};zh-hant:電腦}-工作", "他使用PC工作"),
        ("公司名为-{zh-hans:A&amp;B;zh-hant:C}-，成立于1950年", "公司名为A&B，成立于1950年"),
        ("-{zh-hans:-{甲}-电脑;zh-hant:電腦}-", "甲电脑"),
        ('用-{zh-hans:<span style="color:red;font-size:9px">甲</span>;zh-hant:乙}-在', "用甲在"),
        ("-{zh-hans:甲;乙;zh-hant:丙}-", "甲;乙"),
        ("-{zh-hans:12:30;zh-hant:丙}-", "12:30"),
        ("-{zh-cn:甲 -{zh-hans:乙;zh-hant:丙}- 丁;zh-tw:戊}-", "甲 乙 丁"),
        ("-{zh-tw:電腦;zh-hk:計算機;}-", "電腦"),
        ("-{zh-hans:[[甲|乙]];zh-hant:[[丙|丁]]}-", "乙"),
        ("前-{H|zh-hans:{{lang|en|a}};zh-hant:b}-后", "前后"),
        ("前-{T|zh-hans:甲;zh-hant:乙}-后", "前后"),
        ("前-{-|zh-hans:甲;zh-hant:乙}-后", "前后"),
        ("-{A|zh-hans:甲;zh-hant:乙}-", "甲"),
        ("-{R|甲;zh-hant:乙}-", "甲;zh-hant:乙"),
        ("-{zh-hans;zh-hant|文字}-", "文字"),
        ("前-{N|zh-cn}-后", f"前{HOLE}后"),
        ("前-{D|zh-hans:甲;zh-hant:乙}-后", f"前{HOLE}后"),
        ("-{文字}-", "文字"),
        ("{{nowrap|-{zh-hans:a=b;zh-hant:c}-}}", "a=b"),
        ("[[-{zh-hans:甲;zh-hant:乙}-|丙]]", "丙"),
        ("-{甲=>zh-hans:乙;丙=>zh-hant:丁;}-", "乙"),
    ],
)
def test_variants_hold_any_markup(markup: str, text: str) -> None:
    assert clean_wikitext(markup, "T", "zh").text == text


@pytest.mark.parametrize(
    "markup", ["#REDIRECT [[A b]]", "#redirect: [[A b#c|d]]", " #重定向\n[[A b]]", "#REDIRECT   :  [[A b]]"]
)
def test_redirects(markup: str) -> None:
    assert find_redirect(RawPage("a.xml", 1, "T", markup)) == "A b"
