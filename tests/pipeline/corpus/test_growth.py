"""CPU time of cleaning grows as the page does, whatever shape a broken or hostile page has."""

from __future__ import annotations

import pytest

from pipeline.corpus.page_kinds import reject_page
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.passages.sentences import find_sentences
from schemas.config import CorpusConfig
from tests.support.growth import LINEAR, cpu_growth

OPENERS = (
    "{{", "[[", "{|", "-{", "\n{|", "<!--", "<ref>", "<ref name=x", "<table>", "<div style='display:none'>",
    "<span style='display:none", "<includeonly>", "<noinclude>", "<onlyinclude>", "<nowiki>", "<math>", "<gallery>",
    "<sup>", "<sub", "<br", "<p", "[http://", "[//", "http://", "{{nowrap|", "{{convert|", "{{cn|", "{{lang|fr|",
    "{{main|", "{{x box|", "{{ill|de|", "{{quote|", "[[a|", "[[a|b [c", "[[File:a|", "-{zh-hans:", "-{H|", "-{zh;",
    "{{{", "{{{a|", "{{{{", "[[[", "{{#if:", "{{!}}", "<div display:", "<", "&", "&#", "(", "'''", "[mailto:",
)  # fmt: skip
CLOSERS = (
    "}}", "]]", "|}", "\n|}", "}-", "-->", "</ref>", "</table>", "</div>", "</span>", "</includeonly>", "</sup>", ")",
    "]", "]]]", ";", "|", "=",
)  # fmt: skip
UNITS = (
    "<!---->", "<!--x-->\n", "<!-->", " <!-- --> ", "''", "'''", "''''", "'''''", "''a'''", " l'''", "' ", "'",
    "{{cn}}", "{{cn}} ", " {{cn}}, ", "( {{cn}}", "({{IPA|x}}, ", "{{IPA|x}}", ", {{IPA|x}}", "[[a]]", "[[a]] ",
    "[[a|]]", "[[a|b]]s", "[[a|[b]]]", "[[http://a b]]", "[http://a b]", "[[//a|b]]", "{{unknown}}", "{{main|x}}\n",
    "{{x box|y}} ", "{{br}}", "{{nowrap|a|b}}", "{{convert|1|km}}", "{{flat}}", "{{'s}}", "<br>", "<ref/>", "<ref/> ",
    "<ref>x</ref>", "<i>x</i>", "1<sup>2</sup>", "a[[b]]<sub>2</sub>", "<div><div>x</div></div>", "1/2", "3½",
    "<span style='display:none'>x</span>", "<table><tr></table>", "-{zh-hans:a;zh-hant:b}-", "-{a}-", "-{H|zh:a;b}-",
    "= ", "\n= a =", "\n== a ==\n", "\n*", "\n* a", "\n:", "\n;a:b", "\n----", "\n ", "\n", " ", "\t", "\xa0",
    "{{{a}}}", "{{{a|b}}}",
    "<sup>1</sup>/<sub>2</sub>", "<sup>1</sup>/", "{{frac|1|2}}", "http://a(", "http://a)", "http://a中",
    "&nbsp;", "&amp;", "&lt;", "__TOC__", "__", "a", "é", "中", "1", "0,", ".", "。", "a. ", "vol. ", "lit. ", "()",
    "( ", "（", "~", "||", "!", ":", "{", "}", "[", ">", "</", "-", "\u200e", "\ufdd0", "\U000f0001",
)  # fmt: skip
PAIRS = (
    ("{{a|", "}}"), ("[[a|", "]]"), ("[[", "]]"), ("\n{|", "\n|}"), ("-{", "}-"), ("-{zh-hans:", "}-"), ("{{", "|"),
    ("<div>", "</div>"), ("<table>", "</table>"), ("<div style='display:none'>", "</div>"), ("<ref>", "</ref>"),
    ("<table>", "</td>"), ("(", ")"), ("[", "]"), ("[[a|[", "]"), ("[[a|", "]]]"), ("{{nowrap|", "}}"), ("''", "'''"),
    ("-{zh-hans:", ";"), ("-{", ";zh-hant:a"), ("[[File:a|", "]]"), ("<includeonly>", "</includeonly>"),
    ("text ", "{{cn}} "), ("text", " {{cn}}"), ("({{IPA|x}}", ", "), ("{{IPA|x}}(", ","), ("\n= a =", "\n"),
)  # fmt: skip
HOLDERS = (
    "{{convert|*.|km}}", "{{nts|*}}", "{{formatnum:*}}", "{{val|*}}", "{{frac|*|2}}", "{{e|*}}", "{{gaps|*}}",
    "{{US$|*}}", "{{track gauge|*}}", "{{as of|*}}", "{{birth date|*|1|1}}", "{{lc:*}}", "{{*}}", "{{* box}}",
    "[[*]]", "[[a|*]]", "[[*|]]", "[[http://*]]", "[//*", "[[:*:a]]", "<ref *>", "<span *>", "-{*}-", "-{*|a}-",
    "-{zh-hans:*;zh-hant:b}-", "{{coord|*|1}}", "{{unknown|*=a}}", "{{nowrap|*=a}}", "{{chem|*}}", "'''*",
)  # fmt: skip
FILLERS = ("0", "0.", " ", "a", "e3", "(", ";", "'", "<br", "|")
SHAPES = (
    *((unit, "", "") for unit in (*OPENERS, *CLOSERS, *UNITS)),
    *((opener, "x", closer) for opener, closer in PAIRS),
)
"""Something n times, a middle, something n times."""
PAGES = ("#REDIRECT*", "#REDIRECT *:*", "*#REDIRECT", "{{*disambig}}", "A may refer to*", "A may refer to *:")
WHITE = (" ", "\n", "\t ")
SENTENCES = (".", ". ", "vol. ", "vol. IV ", "(Ch. ", "lit. ", 'lit. "', "No. I ", "Fig. A. ", "a.b", "M. ", "MMMM. ")


@pytest.mark.slow
@pytest.mark.parametrize(("first", "middle", "last"), SHAPES)
def test_time_is_linear_in_a_page_of_repeated_marks(first: str, middle: str, last: str) -> None:
    lang = "zh" if "-{" in first or "}-" in first else "en"
    growth = cpu_growth(lambda n: first * n + middle + last * n, lambda markup: clean_wikitext(markup, "T", lang))
    assert growth <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("holder", HOLDERS)
def test_time_is_linear_in_what_a_mark_holds(holder: str, filler: str) -> None:
    lang = "zh" if "-{" in holder else "en"
    growth = cpu_growth(lambda n: holder.replace("*", filler * n), lambda markup: clean_wikitext(markup, "T", lang))
    assert growth <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("white", WHITE)
@pytest.mark.parametrize("page", PAGES)
def test_time_is_linear_in_the_white_space_that_tells_the_kind_of_a_page(page: str, white: str) -> None:
    def make(n: int) -> RawPage:
        return RawPage("a.xml", 1, "A", page.replace("*", white * n))

    assert cpu_growth(make, lambda raw: reject_page(raw, CorpusConfig(max_page_chars=10**9))) <= LINEAR


@pytest.mark.slow
@pytest.mark.parametrize("unit", SENTENCES)
def test_time_of_finding_sentences_is_linear(unit: str) -> None:
    assert cpu_growth(lambda n: unit * n, find_sentences) <= LINEAR
