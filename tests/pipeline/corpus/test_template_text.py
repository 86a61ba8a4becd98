"""Templates lose no words: what is not shown as a reader sees it leaves a hole, and names are those of MediaWiki."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.corpus.wikitext.inline_templates import RULES
from pipeline.corpus.wikitext.template_calls import SILENT, SPACING, normalise_name
from schemas.documents import HOLE


def clean(markup: str, lang: str = "en") -> str:
    return clean_wikitext(markup, "A page", lang).text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("{{INS|Vikrant}}", "INS Vikrant"),
        ("{{iNS|Vikrant}}", "INS Vikrant"),
        ("{{ins|added words}}", HOLE),
        ("{{Ins|added words}}", HOLE),
        ("{{HMS|Hood|51|6}}", "HMS Hood"),
        ("{{HMS|Hood|51}}", "HMS Hood (51)"),
        ("{{HMS|Hood|51|2}}", "Hood"),
        ("{{hms|5|6|7}}", HOLE),
        ("{{ss|12}}", HOLE),
        ("{{ce|H2O}}", "H2O"),
        ("{{Ce|H2O}}", "H2O"),
        ("{{CE}}", "CE"),
        ("{{usd|5}}", HOLE),
        ("{{USD|5}}", "US$5"),
        ("{{pagename}}", HOLE),
        ("{{Citation Needed}}", ""),
        ("{{ Template : Nowrap |8 km}}", "8 km"),
    ],
)
def test_names_are_told_apart_by_case_but_for_the_first_letter(markup: str, text: str) -> None:
    assert clean(f"in {markup} years") == " ".join(f"in {text} years".split())


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("{{nobreak|207 m}}", "207 m"),
        ("{{linktext|弥|生}}", "弥生"),
        ("{{nowrap|text=8 km}}", "8 km"),
        ("{{color|red|text=9 km}}", "9 km"),
        ("{{font color|red|5 km}}", "5 km"),
        ("{{color box|red|5 km}}", "5 km"),
        ("{{font|text=5 km|size=90%}}", "5 km"),
        ("{{lang|fr|text=mot}}", "mot"),
        ("{{key press|Ctrl|Alt|Del}}", "Ctrl+Alt+Del"),
        ("{{hide in print|5 km}}", "5 km"),
        ("{{ruby|漢|かん}}", "漢(かん)"),
        ("{{rquote|right|Be good.}}", "Be good."),
        ("{{columns-list|3|five}}", "five"),
        ("{{nts|5|prefix=$}}", "$5"),
        ("{{sort|key|five}}", "five"),
        ("{{coord|57|18|N|4|27|W}}", "57°18′N 4°27′W"),
        ("{{coord|57.3|-4.5}}", "57.3°N 4.5°W"),
        ("{{harvtxt|Smith|Jones|2000|p=5}}", "Smith & Jones (2000, p. 5)"),
        ("{{URL|example.com|the site}}", "the site"),
    ],
)
def test_words_are_shown_whatever_argument_holds_them(markup: str, text: str) -> None:
    assert clean(f"It is\n\n{markup}\n\nhere.") == f"It is\n{text}\nhere."


@pytest.mark.parametrize(
    "markup",
    [
        "{{wikidata|property|P1082}}", "{{#property:P1082}}", "{{nowrap|a|b}}", "{{lang|fr}}", "{{align|right|text}}",
        "{{hidden|title|text}}", "{{stack|text}}", "{{foo box|text}}", "{{main|Foo}}", "{{legend|red|text}}",
        "{{gain|5.5 points}}", "{{flag|FRA}}", "{{convert|60|m|ft|adj=mid|-long}}", "{{convert|5|km|mi|disp=unit}}",
        "{{film date|1999|1|2|Cannes}}", "{{zh|c=字|hk=詞}}", "{{sup|a|b}}", "{{formatnum:1234|R}}", "{{transl|fr}}",
        "{{val|5|suffix=m}}", "{{birth date|²|1|1}}", "{{convert|5|e3e3e3m}} {{unknown}}",
    ],
)  # fmt: skip
def test_words_that_cannot_be_shown_leave_a_hole(markup: str) -> None:
    assert HOLE in clean(f"It is {markup} here.")


@pytest.mark.parametrize(
    "markup",
    ["{{efn|a note}}", "{{sfn|Smith|2000}}", "{{cn|reason}}", "{{anchor|x}}", "{{coord|1|N|2|E|display=title}}"],
)
def test_notes_and_marks_leave_none(markup: str) -> None:
    assert clean(f"It is{markup} here.") == "It is here."


@pytest.mark.parametrize(
    "markup", ["{{br}}", "{{-}}", "{{break}}", "{{clear|left}}", "{{pad|2em}}", "{{nbsp|3}}", "{{wrap}}"]
)
def test_breaks_and_spaces_do_not_join_words(markup: str) -> None:
    assert clean(f"one{markup}two") == "one two"


def test_hatnotes_and_boxes_go_where_they_open_a_line() -> None:
    assert clean("{{main|Foo}} Text.\n:{{see also|Bar}}\n{{foo box|x}}\nMore.") == "Text. \nMore.".replace(" \n", "\n")
    assert clean("{{Foo\n|a=b}}\nText.") == "Text."
    assert clean("{{Foo\n|a=b}} is a town.") == f"{HOLE} is a town."


WORDY = st.sampled_from(sorted(name for name, rule in RULES.items() if rule not in (SILENT, SPACING)))


@given(WORDY, st.lists(st.sampled_from(["", "alpha", "beta", "gamma 5"]), min_size=1, max_size=9))
def test_no_template_is_without_trace(name: str, arguments: list[str]) -> None:
    """Whatever the arguments, words in them are shown, or a hole is, or a brief for what stands for them."""
    markup = "{{" + "|".join([name, *arguments]) + "}}"
    shown = clean(f"x {markup} y")
    assert shown != "x y" or not any(arguments) or normalise_name(name) in ("uRL", "url")


@pytest.mark.parametrize(
    ("markup", "text", "target"),
    [
        ("{{ill|de|Gymnasium Ernestinum Gotha|Gymnasium Ernestinum Gotha}}", "Gymnasium Ernestinum Gotha", None),
        ("{{ill|fr|Foo}}", "Foo", None),
        ("{{ill|Foo|fr|Le Foo}}", "Foo", None),
        ("{{ill|Foo|fr|Le Foo|lt=bar}}", "bar", "Foo"),
        ("{{Interlanguage link multi|X|it}}", "X", None),
        ("{{ill|tea|de|Tee}}", "tea", "Tea"),
        ("{{ill|de|ja}}", HOLE, ""),
        ("{{ill|de}}", HOLE, ""),
    ],
)
def test_a_language_code_is_never_the_title(markup: str, text: str, target: str | None) -> None:
    page = clean_wikitext(f"in {markup} here", "T")
    assert page.text == f"in {text} here"
    assert [link.target for link in page.links] == ([] if target == "" else [target or text])


@pytest.mark.parametrize("template", ["{{val|*}}", "{{nts|*}}", "{{formatnum:*}}", "{{convert|*|km}}", "{{as of|*}}"])
def test_a_number_of_thousands_of_digits_is_a_hole(template: str) -> None:
    assert clean("in " + template.replace("*", "9" * 5000) + " years") == f"in {HOLE} years"


@pytest.mark.parametrize(
    ("markup", "lang", "text"),
    [
        ("a 3{{frac|1|2}} mile race", "en", "a 3 1/2 mile race"),
        ("a [[Foo|8{{frac|2}}]] inch bore", "en", "a 8 1/2 inch bore"),
        ("a 8<sup>1</sup>&frasl;<sub>2</sub> inch bore", "en", "a 8 1⁄2 inch bore"),
        ("a {{frac|3|4}} share", "en", "a 3/4 share"),
        ("a {{convert|8{{frac|1|2}}|in}} bore", "en", f"a {HOLE} bore"),
        ("the {{lang-gsw|Wort}} here", "en", "the Swiss German: Wort here"),
        ("the {{lang-qqq|Wort}} here", "en", f"the {HOLE} here"),
        ("the {{langx|qqq|Wort|label=none}} here", "en", "the Wort here"),
        ("他讲{{lang-nl|Woord}}。", "zh", "他讲荷蘭語：Woord。"),
        ("他是{{ill|甲|en|Foo}}。", "zh", "他是甲。"),
        ("他（{{BD|1950年|5月|2000年|}}）是", "zh", "他（1950年5月—2000年）是"),
        ("the {{anchor|x|text=town}} grew", "en", "the town grew"),
        ("the {{anchor|x}}town grew", "en", "the town grew"),
        ("see {{plainlist|\n* one\n* two\n}} here", "en", "see\n- one\n- two\nhere"),
        ("the {{{1|town}}} grew {{{2}}} much", "en", f"the town grew {HOLE} much"),
    ],
)
def test_what_is_shown_beside_or_without_a_template_is_kept(markup: str, lang: str, text: str) -> None:
    assert clean(markup, lang) == text
