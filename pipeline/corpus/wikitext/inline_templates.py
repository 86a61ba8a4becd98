"""Table of the rules for templates in running text, by name; a template without a rule leaves a hole."""

from __future__ import annotations

from pipeline.corpus.wikitext import citations, dates, measures, scripts, ships
from pipeline.corpus.wikitext import coordinates as places
from pipeline.corpus.wikitext.invisible_templates import find_invisible
from pipeline.corpus.wikitext.marks import GAP
from pipeline.corpus.wikitext.symbols import SYMBOLS
from pipeline.corpus.wikitext.template_calls import (
    ANY,
    LONGEST_NAME,
    SPACING,
    UNSHOWN,
    Handler,
    Rule,
    TemplateCall,
    normalise_name,
    show_as_written,
    show_constant,
    show_first,
    show_joined,
    show_last,
    show_list,
    show_only,
    show_quotation,
    show_reading,
    show_second,
    show_title,
)

SHOWN: tuple[tuple[str, Handler, int], ...] = (
    # styling
    (
        "nowrap|nobr|nobreak|nwr|nowraplinks|j|small|smaller|smaller2|midsize|big|bigger|large|larger|huge|sm|center|"
        "noitalic|nobold|nobold2|strong|em|italic|bold|angle|mvar|math|math2|unicode|polytonic|hebrew|arabic|nastaliq|"
        "nq|script/arabic|script/hebrew|script/nastaliq|tt|mono|var|samp|kbd|rtl|bidi|pxsmall|normal|not a typo|typo|"
        "sic inline|as written|sub label|strikethrough|flagright|thinspace|unichar text|pinyin|char|hide in print|"
        "smalldiv|start-date|end-date|birth-date|death-date",
        show_first,
        1,
    ),
    # arguments after the first are not shown: a tooltip, a programming language, further anchors
    ("tooltip|abbr|abbrv|define|code|citation needed span|clarify span|dubious span|僻字", show_first, 2),
    ("abbrlink", show_first, 3),
    ("vanchor|visible anchor", show_first, ANY),
    ("lang|lang2|script|rtl-lang|fontcolor|font color|color|colour|background color|color box|sort", show_second, 2),
    ("font|resize", show_only, 2),
    ("transl|transliteration|tlit|translit|wikt-lang", show_last, 3),
    ("ruby|ruby-ja", show_reading, 2),
    ("linktext", show_joined(""), ANY),
    ("hlist|flatlist|ubl|ubil|unbulleted list|vunblist|plainlist|plain list|cslist", show_list, ANY),
    ("quote|blockquote|bquote|quotation|centered quote|rquote|poemquote|cquote|引言|引文", show_quotation, ANY),
    ("PAGENAME|BASEPAGENAME|FULLPAGENAME|article name", show_title, 0),
    ("sic", show_as_written, 2),
    # numbers
    ("convert|cvt|conv", measures.convert, ANY),
    ("val", measures.show_value, 3),
    ("e|exp10|x10^|×10^", measures.show_exponent, 1),
    ("10^|10power", measures.show_power_of_ten, 1),
    ("frac|sfrac|fraction|sfrac2|frac2|fr|vulgar fraction", measures.show_fraction, 3),
    ("chem|chem2|ce", measures.show_formula, ANY),
    ("su|sup|sub", measures.show_scripts, 2),
    ("nuclide|nuclide2|simpleNuclide|simpleNuclide2|simplenuclide|simplenuclide2", measures.show_nuclide, 2),
    ("formatnum|nts|number table sorting|num|ntsc", measures.show_digits, 1),
    ("gaps|gapnum", measures.show_groups, ANY),
    ("|".join(measures.SIGNS), measures.show_money, 1),
    ("railGauge|track gauge|rail gauge|gauge", measures.show_gauge, 1),
    # dates
    (
        "birth date|birth date and age|death date|death date and age|start date|start date and age|end date|"
        "end date and age|date|dts|film date|dob|bda|dda|release date|launch date|日期",
        dates.show_date,
        6,
    ),
    ("birth year and age|death year and age|year", dates.show_year, 3),
    ("as of|asof|截至|截止", dates.show_as_of, 3),
    ("circa|c.|ca|ca.|約", dates.show_circa, 2),
    ("floruit|fl.|reign|r.|ruled", dates.show_span, 2),
    ("bd|BD", dates.show_lifetime, 5),
    ("oldStyleDate|oldStyleDateDY|oldstyledate|oldstyledatedy", dates.show_old_style, 3),
    # other languages
    ("sc|sc2|smallcaps|small caps|smallcaps2|smallcaps all|sc1|aut", scripts.show_small_capitals, 1),
    ("langx", scripts.show_named_language, 4),
    ("nihongo|nihongo2|nihongo3|nihongo foot|nihongo krt", scripts.show_japanese, 5),
    ("zh|lang-zh|zh-full", scripts.show_chinese, 1),
    ("korean|ko-hhrm", scripts.show_korean, 1),
    (
        "ill|iLL|interlanguage link|interlanguage link multi|illm|link-interwiki|tsl|translink|internal link helper|le",
        scripts.show_foreign_link,
        ANY,
    ),
    (
        "ipa|iPA|IPAc-en|IPAc-pl|IPA-all|respell|pronunciation|audio|pron|pron-en|usdict|USdict|IPAlink|IPA link|"
        "nahmc|H:IPA",
        scripts.show_spoken,
        ANY,
    ),
    ("bibleverse|bibleref|bibleref2|bibleverse-nb|bible verse", citations.show_verse, 4),
    ("harvtxt|harvnb|harvcoltxt", citations.show_short_citation, 6),
    ("coord", places.show_coordinates, ANY),
    ("ship", ships.show_ship, 4),
    ("|".join(ships.PREFIXES), ships.show_ship, 3),
)  # fmt: skip
PREFIXED: tuple[tuple[str, Rule], ...] = (
    ("lang-", Rule(scripts.show_named_language, 3)),
    ("ipac-", Rule(scripts.show_spoken, ANY)),
    ("ipa-", Rule(scripts.show_spoken, ANY)),
    ("link-", Rule(scripts.show_foreign_link, ANY)),
    ("internal link helper/", Rule(scripts.show_foreign_link, ANY)),
)


def show_angle_brackets(call: TemplateCall) -> str:
    """{{angbr|a}}: a letter in angle brackets."""
    return f"⟨{call.arg(1)}⟩"


def show_keys(call: TemplateCall) -> str | None:
    """{{key press|Ctrl|Alt|Del}}: keys pressed together."""
    return None if any(name.startswith("chain") for name in call.named) else "+".join(call.plain())


def show_flag(call: TemplateCall) -> str | None:
    """{{flag|France}}: the country; a code such as FRA stands for a name that is not in the page."""
    name = call.first("name") or call.arg(1)
    return None if name.isupper() else name


def show_music(call: TemplateCall) -> str | None:
    """{{music|flat}}: a musical sign."""
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(call.arg(1).lower())


def show_address(call: TemplateCall) -> str:
    """{{URL|example.com|label}}: the label; a URL is not running text."""
    return call.arg(2) or UNSHOWN


def show_changed_case(call: TemplateCall) -> str | None:
    """{{lc:TEXT}} and similar."""
    text = call.arg(1)
    changes = {"lc": text.lower(), "uc": text.upper(), "ucfirst": text[:1].upper() + text[1:]}
    return changes.get(call.name, text[:1].lower() + text[1:])


def show_columns(call: TemplateCall) -> str:
    """{{columns-list|...}}: the list inside, on separate lines; the number of columns came first in older pages."""
    return f"\n{call.arg(2) if call.arg(1).isdecimal() else call.arg(1)}\n"


def _expand(rows: tuple[tuple[str, Handler, int], ...]) -> dict[str, Rule]:
    return {normalise_name(name): Rule(show, most) for names, show, most in rows for name in names.split("|")}


RULES = _expand(SHOWN) | _expand((
    ("angbr|angle bracket|angbr IPA", show_angle_brackets, 1),
    ("keypress|key press|key", show_keys, ANY),
    ("flag|flagu|flagcountry|flaglink", show_flag, 2),
    ("music", show_music, 1),
    ("lc|uc|lcfirst|ucfirst", show_changed_case, 1),
    ("columns-list", show_columns, 2),
    ("URL|url", show_address, 2),
    ("anchor", lambda call: call.first("text") or UNSHOWN, ANY),
    ("nbsp|spaces|space|sp", show_constant(" "), 1),
    ("wrap|allow wrap", lambda call: call.arg(1) or f"{GAP} ", 1),
))  # fmt: skip
RULES |= {normalise_name(name): Rule(show_constant(text), 0) for name, text in SYMBOLS.items()}
RULES |= dict.fromkeys(
    ["pad", "br", "break", "crlf", "-", "clear", "clear left", "clear right", "clearleft", "clearright", "clr"],
    SPACING,
)


def find_rule(name: str) -> Rule | None:
    """Return the rule of a template by its normalised name; None if it is unknown what the template shows."""
    if len(name) > LONGEST_NAME:
        return None
    rule = RULES.get(name) or find_invisible(name)
    return rule or next((rule for prefix, rule in PREFIXED if name.startswith(prefix)), None)
