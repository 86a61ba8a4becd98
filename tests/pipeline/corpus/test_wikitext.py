"""Cleaning of wikitext: facts stay whole, what is invisible leaves no trace, links keep their place."""

import pickle
import time
from collections.abc import Callable

import mwparserfromhell
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.wikitext.brackets import Brackets
from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.corpus.wikitext.sections import CleanPage
from pipeline.text.chinese_conversion import simplify
from schemas.documents import HOLE


def clean(markup: str, lang: str = "en") -> str:
    return clean_wikitext(markup, "A page", lang).text


def anchors(page: CleanPage) -> list[tuple[str, str]]:
    return [(page.text[link.start : link.end], link.target) for link in page.links]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("The planet weighs about 6.1{{e|24}} kg.", "The planet weighs about 6.1×10^24 kg."),
        (
            "The city fell in 331&nbsp;{{sc|bc}}, and ({{sc|ad}} 14) again.",
            "The city fell in 331 BC, and (AD 14) again.",
        ),
        (
            "Rain goes from {{convert|310|mm|abbr=on}} in the south to {{convert|460|mm|in|abbr=on}} in the north.",
            "Rain goes from 310 mm in the south to 460 mm in the north.",
        ),
        ("It is worth {{nowrap|$800 bn}} to {{nowrap|$2 trillion}}.", "It is worth $800 bn to $2 trillion."),
        ("It costs three in {{CURRENTYEAR}} dollars.", f"It costs three in {HOLE} dollars."),
        ("{{as of|2011}}, the town had no school.", "As of 2011, the town had no school."),
        (
            "Classes begin with {{Nihongo|stretching|柔軟体操|jūnan taisō}}, which is slow.",
            "Classes begin with stretching (柔軟体操, jūnan taisō), which is slow.",
        ),
    ],
    ids=["e", "sc", "convert", "nowrap", "currentyear", "as of", "nihongo"],
)
def test_sentences_that_naive_tools_corrupt(markup: str, text: str) -> None:
    assert clean(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("{{convert|300|-|450|mm|in}}", "300–450 mm"),
        ("{{cvt|5|ft|6|in|m}}", "5 ft 6 inches"),
        ("{{convert|2+1/2|to|3|in|mm}}", "2 1/2 to 3 inches"),
        ("{{convert|20|C|F}} {{convert|12000|sqmi|km2}}", "20°C 12,000 sq mi"),
        ("{{convert|2|m|x|3|m|ft}} {{convert|3|by|4|km}}", "2 m × 3 m 3 by 4 km"),
        ("{{convert|2|e6acre|km2}} {{convert|5|±|1|km2}}", "2 million acres 5 ± 1 km²"),
        ("{{val|1.23|0.05|e=6|u=km/s}}", "(1.23 ± 0.05)×10^6 km/s"),
        ("10<sup>24</sup> m<sup>2</sup> H<sub>2</sub>O s<sup>-1</sup> 19<sup>th</sup>", "10^24 m² H2O s^-1 19th"),
        ("''mc''<sup>2</sup> [[kilometre|km]]<sup>2</sup> SO<sub>4</sub><sup>2-</sup>", "mc² km² SO4^2-"),
        ("{{chem|SO|4|2-}} {{chem2|H2SO4}}", "SO4^2- H2SO4"),
        ("{{frac|3|1|2}} {{sfrac|1|3}} {{formatnum:1234567}}", "3 1/2 1/3 1,234,567"),
        ("{{US$|5 million}} {{INR|2000}} {{track gauge|3ft6in}}", "US$5 million ₹2,000 3 ft 6 in"),
        ("{{birth date|1980|5|4|df=y}} {{death date and age|2001|1|2|1950|3|4}}", "4 May 1980 January 2, 2001"),
        ("{{circa|1500|1550}} {{floruit|1200}} {{as of|2013|6|lc=y}}", "c. 1500 – c. 1550 fl. 1200 as of June 2013"),
        ("{{lang|fr|mot}} {{lang-fr|mot|lit=word}} {{transl|ar|ALA|dars}}", "mot French: mot, lit. 'word' dars"),
        ("{{zh|s=汉字|t=漢字|p=hànzì}}", "simplified Chinese: 汉字; traditional Chinese: 漢字; pinyin: hànzì"),
        ("{{nowrap|{{convert|7|km|mi}}}} {{abbr|dept.|department}} the dog{{'s}} day", "7 km dept. the dog's day"),
        ("a{{spaced ndash}}b{{mdash}}c {{angbr|a}} {{PAGENAME}}", "a – b—c ⟨a⟩ A page"),
        (
            "{{sic|teh}} {{clarify span|text=some day|date=May 2011}} {{quote|Be good.|Someone}}",
            "teh some day\nBe good.",
        ),
    ],
)
def test_inline_templates_keep_their_facts(markup: str, text: str) -> None:
    assert clean(markup) == text


@pytest.mark.parametrize(
    "markup",
    [
        "in {{unknown thing|5}} years",
        "in <math>x^2</math> years",
        "in {{CURRENTMONTH}} years",
        "in {{age|1950|1|2}} years",
        "in {{formatnum:{{inflation|US|5|1861}}}} years",
        "in {{convert|{{unknown}}|km}} years",
        "in {{#expr: 1 + 1}} years",
    ],
)
def test_what_cannot_be_rendered_leaves_a_hole(markup: str) -> None:
    assert clean(markup) == f"in {HOLE} years"


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("One<ref>[http://a.b c] {{cite web|x=y}}</ref>, two<ref name=x /> three.", "One, two three."),
        ("One {{citation needed|date=May 2011}}. Two {{cn}} three{{sfn|Ann|2001|p=3}}.", "One. Two three."),
        ("Ann ({{IPA|/an/}}; born 1960) and Bob ({{IPAc-en|b}}) ran.", "Ann (born 1960) and Bob ran."),
        ("Ann (Latin: {{IPA|/an/}}; born 1960; {{cn}}) sang.", "Ann (Latin; born 1960) sang."),
        (
            "'''Oslo''' {{IPAc-en|o|s}}<ref>x</ref> is a city pronounced {{IPA|x}}.",
            f"Oslo is a city pronounced {HOLE}.",
        ),
        ("One <!-- no -->two.\n<!-- a line -->\nThree.", "One two. Three."),
        ("{{Infobox\n| a = {{convert|5|km}}\n}}\nText.\n{| class=x\n|-\n| {{x}}\n|}\nMore.", "Text.\nMore."),
        ("One [[File:a.jpg|thumb|A [[b]] c]] two.[[Category:X]] [[fr:Un]]", "One two."),
        ("<gallery>\na.jpg|[[b]]\n</gallery>\nA '''b''' ''c'' '''''d''''' l''''e'''.", "A b c d l'e."),
        ("See [http://a.b/c the site] or http://d.e/f.", "See the site or."),
        ("See http://a.b/c_(d). Next", "See. Next"),
        ("It (at http://a.b/c_(d)) is", "It (at) is"),
        ("It (at http://a.b/c) is", "It (at) is"),
        ("官网http://a.b/c，成立于1990年。", "官网，成立于1990年。"),
        ("网址http://a.b/c成立。", "网址成立。"),
        ("One <span style='visibility:hidden'>two</span> three.", "One three."),
        ("Call main() and f(x)<ref>x</ref>.", "Call main() and f(x)."),
        ("A &amp; B &lt; C&nbsp;D &#8211; E<br/>F", "A & B < C D – E F"),
        ("<nowiki>''x''</nowiki> and <nowiki>[[y]]</nowiki>", f"''x'' and {HOLE}"),
        ("Lost {{cite web | x. More.\n\nNext.", f"Lost {HOLE}cite web | x. More.\nNext."),
        ("Open<ref>never closed. More.\nNext.", f"Open{HOLE} Next."),
        ("{{Unknown box|x}}\n\nText.\n:<math>x</math>\n", "Text."),
        ("__NOTOC__Text. <span style='display:none'>zzz</span>{{DEFAULTSORT:Page, A}}", "Text."),
    ],
)
def test_what_is_invisible_leaves_no_trace(markup: str, text: str) -> None:
    assert clean(markup) == text


def test_headings_become_section_paths_and_lists_their_own_lines() -> None:
    markup = """Lead one.
Lead two.

== History ==
Text.
* item [[One]]
** deeper
# third
=== Early {{anchor|x}} years ===
; Term : meaning
: indented
== See also ==
* [[Two]]
=== Under it ===
Lost.
== After ==
Last."""
    page = clean_wikitext(markup, "T")
    blocks = page.text.split("\n\n")
    assert blocks == [
        "Lead one. Lead two.",
        "Text.\n- item One\n- deeper\n- third",
        "- Term : meaning\nindented",
        "Last.",
    ]
    assert [section.path for section in page.sections] == [(), ("History",), ("History", "Early years"), ("After",)]
    assert [page.text[section.start :].split("\n\n")[0] for section in page.sections] == blocks
    assert anchors(page) == [("One", "One")]


def test_links_carry_their_target() -> None:
    markup = (
        "[[bus]]es, [[Foo bar#Part|''the'' foo]], [[under_score|x]], [[Berlin (city)|]], [[:fr:Un|un]], [[#Here|here]] "
        "[[Category:No]][[:Category:Yes|yes]] [[Star Trek: First|st]] [[ spaced | wide]] {{lang|fr|[[mot]]s}} "
        "[[A page|self]] [[wikt:a|b]] {{ill|Gone|de|Weg}} [[hole|{{unknown}}]] [[At&amp;T]]"
    )
    assert anchors(clean_wikitext(markup, "A page")) == [
        ("buses", "Bus"), ("the foo", "Foo bar"), ("x", "Under score"), ("Berlin", "Berlin (city)"),
        ("st", "Star Trek: First"), ("wide", "Spaced"), ("mots", "Mot"), ("Gone", "Gone"), ("At&T", "At&T"),
    ]  # fmt: skip


def test_chinese_pages() -> None:
    markup = (
        "'''北京'''（{{lang-en|Peking}}）是-{zh-hans:计算机;zh-hant:電腦}-[[首都]]城市{{来源请求}}。\n"
        "{{as of|2010|5}}，{{link-en|某人|Someone}}到過[[檔案:a.jpg|縮圖]]。\n== 參見 ==\n* [[上海]]\n"
    )
    page = clean_wikitext(markup, "北京", "zh")
    assert page.text == "北京（英語：Peking）是计算机首都城市。截至2010年5月，某人到過。"
    assert anchors(page) == [("首都", "首都"), ("某人", "某人")]
    assert simplify("乾隆皇帝的頭髮發展") == "乾隆皇帝的头发发展"


WORDS = st.sampled_from(
    ["Ann", "5 km", " in ", ", ", ". ", " (", ") ", "\n", "\n\n", "* ", "= A =\n", "''", "é中", ": ", "|", "="]
)
MARKUP = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map("".join),
        inner.map("[[{}]]".format),
        inner.map("[[Foo|{}]]s".format),
        inner.map("{{{{nowrap|{}}}}}".format),
        inner.map("{{{{convert|5|km|{}}}}}".format),
        inner.map("{{{{cn|{}}}}}".format),
        inner.map("{{{{unknown|{}}}}}".format),
        inner.map("<ref>{}</ref>".format),
        inner.map("\n{{|\n|{}\n|}}\n".format),
        st.tuples(inner, st.sampled_from(["{{", "}}", "[[", "]]", "<ref>", "</ref>", "{|", "|}", "<!--"])).map("".join),
    ),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(MARKUP)
def test_offsets_hold_and_no_markup_is_left(markup: str) -> None:
    page = clean_wikitext(markup, "T")
    end = 0
    for link in page.links:
        anchor = page.text[link.start : link.end]
        assert end <= link.start < link.end <= len(page.text)
        assert anchor == anchor.strip()
        assert HOLE not in anchor
        assert "\n" not in anchor
        end = link.end
    starts = [section.start for section in page.sections]
    assert starts == sorted(set(starts))
    assert not starts or (starts[0] == 0 and starts[-1] < len(page.text))
    assert not any(token in page.text for token in ("{{", "}}", "[[", "]]", "<ref", "  ", "\n\n\n", "''"))
    assert page.text == page.text.strip()
    page.text.encode("utf-8")
    assert clean_wikitext(markup, "T") == page


@settings(max_examples=100, deadline=None)
@given(st.text())
def test_any_text_survives_cleaning(text: str) -> None:
    clean_wikitext(text, "T").text.encode("utf-8")


ARGUMENT = st.recursive(
    st.sampled_from(["a", "b c", "1=x", " ", ""]),
    lambda inner: st.one_of(inner.map("{{{{t|{}}}}}".format), inner.map("[[l|{}]]".format)),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ARGUMENT, min_size=1, max_size=4))
def test_arguments_are_split_as_mwparserfromhell_splits_them(arguments: list[str]) -> None:
    markup = "{{name|" + "|".join(arguments) + "}}"
    theirs = mwparserfromhell.parse(markup).filter_templates(recursive=False)[0]
    parts = Brackets(markup).split(2, len(markup) - 2)[1:]
    ours = [markup[start:end] for start, end in parts]
    assert ours == [str(parameter) for parameter in theirs.params]


@pytest.mark.parametrize(
    "make",
    [
        lambda: "{{" * 100_000,
        lambda: "{{" * 50_000 + "}}" * 50_000,
        lambda: "[[a|" * 100_000,
        lambda: "<ref>x" * 100_000,
        lambda: "<!--" * 100_000,
        lambda: "{{nowrap|" * 20_000 + "x" + "}}" * 20_000,
        lambda: "\n{|" * 100_000,
        lambda: "-{" * 100_000 + "'" * 100_000,
        lambda: "( " * 100_000 + "{{cn}}" * 10_000,
        lambda: "<sup" * 100_000 + " " * 100_000,
        lambda: "[http://" * 100_000,
        lambda: "=" * 300_000,
        lambda: "A fact of {{convert|5|km}} about [[some|thing]]s.<ref>x</ref>\n\n" * 75_000,
    ],
)
def test_hostile_and_huge_pages_end_soon(make: Callable[[], str]) -> None:
    markup = make()
    start = time.process_time()
    clean_wikitext(markup, "T", "zh")
    assert time.process_time() - start < 15


def test_raw_pages_travel_between_processes() -> None:
    page = RawPage("a.xml", 3, "T", "text", page_id=5)
    assert pickle.loads(pickle.dumps(page)) == page  # noqa: S301  (our own bytes)
