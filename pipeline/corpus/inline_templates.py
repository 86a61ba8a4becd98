"""Which handler shows which template. Names are lower case; a template that is not here leaves a hole."""

from __future__ import annotations

import re

from pipeline.corpus import dates, measures, scripts
from pipeline.corpus.invisible_templates import is_invisible
from pipeline.corpus.symbols import SYMBOLS
from pipeline.corpus.template_calls import (
    Call,
    Handler,
    show_as_written,
    show_constant,
    show_first,
    show_flagged,
    show_last,
    show_list,
    show_nothing,
    show_quotation,
    show_second,
    show_title,
)

HANDLED: tuple[tuple[str, Handler], ...] = (
    # styling
    (
        "nowrap|nobr|nwr|nowraplinks|j|small|smaller|smaller2|midsize|big|bigger|large|larger|huge|sm|center|noitalic|"
        "nobold|nobold2|strong|em|italic|bold|vanchor|visible anchor|angle|mvar|math|math2|tooltip|abbr|abbrv|"
        "abbrlink|define|start-date|end-date|birth-date|death-date|unicode|linktext|polytonic|hebrew|arabic|nastaliq|nq|"
        "script/arabic|script/hebrew|script/nastaliq|keypress|key press|key|tt|mono|code|var|samp|kbd|ruby|ruby-ja|"
        "rtl|bidi|pxsmall|allow wrap|normal|not a typo|typo|sic inline|sub label|僻字|zhuyin|strikethrough|"
        "flag|flagu|flagcountry|flaglink|flagright|flaglist|pad|hw|thinspace|unichar text|pinyin|char",
        show_first,
    ),
    (
        "lang|lang2|script|wikt|wikt-lang|rtl-lang|flagg|font|color|colour|fontcolor|background color|fs interlinear",
        show_second,
    ),
    ("transl|transliteration|tlit|resize|translit", show_last),
    ("hlist|flatlist|ubl|ubil|unbulleted list|vunblist|plainlist|plain list|cslist", show_list),
    ("quote|blockquote|cquote|bquote|quotation|centered quote|rquote|poemquote|引言|引文", show_quotation),
    ("pagename|basepagename|fullpagename|article name", show_title),
    ("sic", show_as_written),
    ("citation needed span|clarify span|as written|dubious span", show_flagged),
    # numbers
    ("convert|cvt|conv", measures.convert),
    ("val", measures.show_value),
    ("e|exp10|x10^|×10^", measures.show_exponent),
    ("10^|10power", measures.show_power_of_ten),
    ("frac|sfrac|fraction|sfrac2|frac2|fr|vulgar fraction", measures.show_fraction),
    ("chem|chem2|ce", measures.show_formula),
    ("su|sup|sub", measures.show_scripts),
    ("nuclide|nuclide2|simplenuclide|simplenuclide2", measures.show_nuclide),
    ("formatnum|nts|number table sorting|num|ntsc", measures.show_digits),
    ("gaps|gapnum", measures.show_groups),
    ("|".join(sorted(measures.SIGNS)), measures.show_money),
    ("railgauge|track gauge|rail gauge|gauge", measures.show_gauge),
    # dates
    (
        "birth date|birth date and age|death date|death date and age|start date|start date and age|end date|"
        "end date and age|date|dts|film date|dob|bda|dda|release date|launch date|日期",
        dates.show_date,
    ),
    ("birth year and age|death year and age|year", dates.show_year),
    ("as of|asof|截至|截止", dates.show_as_of),
    ("circa|c.|ca|ca.|約", dates.show_circa),
    ("floruit|fl.|reign|r.|ruled", dates.show_span),
    ("bd", dates.show_lifetime),
    ("oldstyledate|oldstyledatedy", dates.show_old_style),
    # other languages
    ("sc|sc2|smallcaps|small caps|smallcaps2|smallcaps all|sc1|aut", scripts.show_small_capitals),
    ("langx", scripts.show_named_language),
    ("nihongo|nihongo2|nihongo3|nihongo foot|nihongo krt", scripts.show_japanese),
    ("zh|lang-zh|zh-full|chinese", scripts.show_chinese),
    ("korean|ko-hhrm", scripts.show_korean),
    ("ill|interlanguage link|link-interwiki|tsl|translink|internal link helper|le", scripts.show_foreign_link),
    ("ipa|ipac-en|ipac-pl|ipa-all|respell|pronunciation|audio|pron|pron-en|usdict|ipalink|ipa link|nahmc|h:ipa",
     scripts.show_spoken),
)  # fmt: skip
PREFIXED: tuple[tuple[str, Handler], ...] = (
    ("lang-", scripts.show_named_language),
    ("ipac-", scripts.show_spoken),
    ("ipa-", scripts.show_spoken),
    ("link-", scripts.show_foreign_link),
    ("internal link helper/", scripts.show_foreign_link),
)
SHIPS = (
    "hms", "hmas", "hmcs", "hmnzs", "uss", "usns", "usat", "usrc", "ss", "rms", "mv",
    "ms", "sms", "ins", "gts", "rv", "mts", "usav", "hmt",
)  # fmt: skip


def show_angle_brackets(call: Call) -> str:
    """{{angbr|a}}: a letter between angle brackets."""
    return f"⟨{call.arg(1)}⟩"


def show_ship(call: Call) -> str | None:
    """{{USS|Enterprise|CV-6}}, {{ship|French brig|Foo|1800}}: prefix and name, linked."""
    prefix, rest = (call.arg(1), call.args[1:]) if call.name == "ship" else (call.name.upper(), call.args)
    if not rest or not rest[0]:
        return None
    name = f"{prefix} {rest[0]}".strip()
    return call.link(f"{name} ({rest[1]})" if len(rest) > 1 and rest[1] else name, name)


def show_music(call: Call) -> str | None:
    """{{music|flat}}: a musical sign."""
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(call.arg(1).lower())


def show_verse(call: Call) -> str | None:
    """{{bibleverse|1|Samuel|3:4}}: book and verse."""
    return " ".join(arg for arg in call.args[:3] if arg) or None


def show_short_citation(call: Call) -> str | None:
    """{{harvtxt|Smith|2000}}: author and year, part of the sentence."""
    *authors, year = [arg for arg in call.args if arg] or [""]
    return f"{' & '.join(authors)} ({year})" if authors else None


def show_changed_case(call: Call) -> str | None:
    """{{lc:TEXT}} and its kin."""
    text = call.arg(1)
    changes = {"lc": text.lower(), "uc": text.upper(), "ucfirst": text[:1].upper() + text[1:]}
    return changes.get(call.name, text[:1].lower() + text[1:])


def show_columns(call: Call) -> str:
    """{{columns-list|...}}: the list inside, on lines of its own."""
    return f"\n{call.first('1') or call.arg(1)}\n"


HANDLERS: dict[str, Handler] = {name: handler for names, handler in HANDLED for name in names.split("|")}
HANDLERS |= {name: show_constant(text) for name, text in SYMBOLS.items()}
HANDLERS |= dict.fromkeys(SHIPS, show_ship) | dict.fromkeys(("lc", "uc", "lcfirst", "ucfirst"), show_changed_case)
HANDLERS |= {
    "angbr": show_angle_brackets, "angle bracket": show_angle_brackets, "angbr ipa": show_angle_brackets,
    "ship": show_ship, "music": show_music, "bibleverse": show_verse, "bibleref": show_verse,
    "bibleref2": show_verse, "bibleverse-nb": show_verse, "bible verse": show_verse,
    "harvtxt": show_short_citation, "harvnb": show_short_citation, "columns-list": show_columns,
}  # fmt: skip

NAME_SPACES = re.compile(r"[\s_]+")


def find_handler(name: str) -> Handler | None:
    """The handler of a template; None when nobody knows what the template shows."""
    handler = HANDLERS.get(name)
    if handler is None:
        if is_invisible(name):
            return show_nothing
        handler = next((handler for prefix, handler in PREFIXED if name.startswith(prefix)), None)
    return handler


def normalise_name(name: str) -> str:
    """A template's name as the tables here write it."""
    name = NAME_SPACES.sub(" ", name).strip().lower()
    return name.removeprefix("template:").removeprefix("subst:").removeprefix("safesubst:").strip()
