"""Table of the rules for templates in running text, by name; a template without a rule leaves a hole."""

from __future__ import annotations

from pipeline.corpus.wikitext import dates, handlers, measures, scripts
from pipeline.corpus.wikitext.invisible_templates import find_invisible
from pipeline.corpus.wikitext.marks import GAP
from pipeline.corpus.wikitext.template_calls import ANY, LONGEST_NAME, SPACING, UNSHOWN, Handler, Rule, normalise_name

SHOWN: tuple[tuple[str, Handler, int], ...] = (
    # styling
    (
        "nowrap|nobr|nobreak|nwr|nowraplinks|j|small|smaller|smaller2|midsize|big|bigger|large|larger|huge|sm|center|"
        "noitalic|nobold|nobold2|strong|em|italic|bold|angle|mvar|math|math2|unicode|polytonic|hebrew|arabic|nastaliq|"
        "nq|script/arabic|script/hebrew|script/nastaliq|tt|mono|var|samp|kbd|rtl|bidi|pxsmall|normal|not a typo|typo|"
        "sic inline|as written|sub label|strikethrough|flagright|thinspace|unichar text|pinyin|char|hide in print|"
        "smalldiv|start-date|end-date|birth-date|death-date",
        handlers.show_first,
        1,
    ),
    # arguments after the first are not shown: a tooltip, a programming language, further anchors
    ("tooltip|abbr|abbrv|define|code|citation needed span|clarify span|dubious span|僻字", handlers.show_first, 2),
    ("abbrlink", handlers.show_first, 3),
    ("vanchor|visible anchor", handlers.show_first, ANY),
    (
        "lang|lang2|script|rtl-lang|fontcolor|font color|color|colour|background color|color box|sort",
        handlers.show_second,
        2,
    ),
    ("font|resize", handlers.show_only, 2),
    ("transl|transliteration|tlit|translit|wikt-lang", handlers.show_last, 3),
    ("ruby|ruby-ja", handlers.show_reading, 2),
    ("linktext", handlers.show_joined(""), ANY),
    ("hlist|flatlist|ubl|ubil|unbulleted list|vunblist|plainlist|plain list|cslist", handlers.show_list, ANY),
    (
        "quote|blockquote|bquote|quotation|centered quote|rquote|poemquote|cquote|引言|引文",
        handlers.show_quotation,
        ANY,
    ),
    ("PAGENAME|BASEPAGENAME|FULLPAGENAME|article name", handlers.show_title, 0),
    ("sic", handlers.show_as_written, 2),
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
    ("bibleverse|bibleref|bibleref2|bibleverse-nb|bible verse", handlers.show_verse, 4),
    ("harvtxt|harvnb|harvcoltxt", handlers.show_short_citation, 6),
    ("coord", handlers.show_coordinates, ANY),
    ("ship", handlers.show_ship, 4),
    ("|".join(handlers.SHIP_PREFIXES), handlers.show_ship, 3),
    # others
    ("angbr|angle bracket|angbr IPA", handlers.show_angle_brackets, 1),
    ("keypress|key press|key", handlers.show_keys, ANY),
    ("flag|flagu|flagcountry|flaglink", handlers.show_flag, 2),
    ("music", handlers.show_music, 1),
    ("lc|uc|lcfirst|ucfirst", handlers.show_changed_case, 1),
    ("columns-list", handlers.show_columns, 2),
    ("URL|url", handlers.show_address, 2),
    ("anchor", lambda call: call.first("text") or UNSHOWN, ANY),
    ("nbsp|spaces|space|sp", handlers.show_constant(" "), 1),
    ("wrap|allow wrap", lambda call: call.arg(1) or f"{GAP} ", 1),
)  # fmt: skip
PREFIXED: tuple[tuple[str, Rule], ...] = (
    ("lang-", Rule(scripts.show_named_language, 3)),
    ("ipac-", Rule(scripts.show_spoken, ANY)),
    ("ipa-", Rule(scripts.show_spoken, ANY)),
    ("link-", Rule(scripts.show_foreign_link, ANY)),
    ("internal link helper/", Rule(scripts.show_foreign_link, ANY)),
)
SYMBOLS = {
    "'s": "'s", "'": "'", "' \"": "' \"", "\" '": "\" '", "'-": "'", "-'": "'", '-"': '"', "`": "`", "s'": "s'",
    "'\"": "'\"", "\"'": "\"'",
    "ndash": "–", "en dash": "–", "–": "–", "nsndns": "–", "spaced ndash": " – ", "snd": " – ", "snds": " – ",
    "spnd": " – ", "sndash": " – ", "spacedndash": " – ", "spaced en dash": " – ",
    "spaced en dash space": " – ", "mdash": "—", "em dash": "—", "—": "—", "spaced mdash": " — ",
    "mdashb": " — ", "spaced em dash": " — ", "·": " · ", "dot": " · ", "middot": " · ", "bullet": " • ",
    "•": " • ", "\\": " / ", "/": "/", "thinsp": " ",
    "hsp": " ", "hair space": " ", "thin space": " ", "zwj": "\u200d", "zwnj": "\u200c", "zwsp": "", "shy": "",
    "wbr": "", "zwnbsp": "", "wj": "", "!": "|", "=": "=", "(": "{", ")": "}", "pipe": "|", "*": "*",
    "minus": "−", "times": "×", "x": "×", "plusmn": "±", "sdot": "⋅", "deg": "°", "prime": "′", "pprime": "″",
    "ellipsis": "...", "okina": "ʻ", "hamza": "ʾ", "ayin": "ʿ", "okina2": "ʻ", "flat": "♭", "sharp": "♯",
    "natural": "♮", "BCE": "BCE", "BC": "BC", "CE": "CE", "AD": "AD", "dagger": "†", "double-dagger": "‡",
    "double dagger": "‡", "dag": "†", "en icon": "", "increase": "", "decrease": "", "steady": "", "gain": "",
    "loss": "", "profit": "", "no change": "", "eqm": "⇌", "hash": "#", "colon": ":", "at": "@",
}  # fmt: skip
"""Templates that show one or two characters, whatever their arguments."""

RULES = {normalise_name(name): Rule(show, most) for names, show, most in SHOWN for name in names.split("|")}
RULES |= {normalise_name(name): Rule(handlers.show_constant(text), 0) for name, text in SYMBOLS.items()}
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
