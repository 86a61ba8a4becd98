"""English date and number rules as two patterns; the name of the matching alternative is the span's label.

Alternatives are ordered from the most to the least specific, because a pattern takes the first that matches. A fact is
matched whole: a date with the second half of a double year, a measure with its smaller unit and its conversion, number
words to their last word. Partial matches are left to `half_facts`. The text has plain spaces only.
"""

from __future__ import annotations

import re

MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
YEAR = r"(?:1\d{3}|20\d\d)"
# Old style and new style, a school year, an uncertain year: one fact ("1722/23", "1967/8", "1353/1356").
YEARS = rf"{YEAR}(?:/(?:\d{{4}}|\d{{1,2}})(?!\d))?"
ERA = r"(?:BCE?|CE|AD|B\.C\.(?:E\.)?|A\.D\.|C\.E\.)"
DASH = r" ?[–—-] ?"
JOINED = rf"(?:{DASH}| (?:and|or|to) )"
# A year of three digits is one only where no counted thing follows ("on 20 March 851 in Tours").
UNCOUNTED = (
    r"(?![,.]?\d)(?= ?(?:$|[^\w\s°%½¼¾]| (?:in|at|on|and|or|to|by|of|near|was|were"
    r"|is|the|he|she|his|her|as|with|when|after|before|until|from|during|for|but|under|against)\b))"
)
EARLY_YEAR = rf"(?:[1-9]\d\d(?:/\d{{1,3}})?{UNCOUNTED})"
FULL_YEAR = rf"(?:{YEARS}\b(?: {ERA}(?!\w))?|\d{{1,4}} {ERA}(?!\w)|{EARLY_YEAR})"
ORDINAL_WORD = (
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth"
    r"|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|twenty-first)"
)
CENTURY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)|{ORDINAL_WORD})"

DATES_EN = re.compile(
    r"(?<![\w/])(?=[0-9ADFJMNOSWaefnstw])(?<![\d.,$£€¥][.,-])(?:"
    rf"(?P<day_range>{DAY}(?:/| {MONTH}{JOINED}|{JOINED}){DAY} {MONTH},? {FULL_YEAR}"
    rf"|{MONTH} {DAY}{JOINED}(?:{MONTH} )?{DAY},? {YEARS}\b)"
    rf"|(?P<date>{DAY} (?:of )?{MONTH},? {FULL_YEAR}"
    rf"|{MONTH} {DAY},? {FULL_YEAR}"
    rf"|{YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b)"
    rf"|(?P<month>{MONTH}(?:{JOINED}{MONTH}|/{MONTH})?,? (?:of )?(?:{YEARS}(?:[–-]\d\d)?\b|\d{{1,4}} {ERA}(?!\w)))"
    rf"|(?P<season>(?:[Ss]pring|[Ss]ummer|[Aa]utumn|[Ff]all|[Ww]inter) (?:of )?{YEARS}(?:{DASH}(?:{YEARS}|\d\d))?\b)"
    rf"|(?P<day>{DAY}(?:(?:{JOINED}|/){DAY})? (?:of )?{MONTH}(?!\w)|{MONTH} {DAY}(?:{DASH}{DAY})?\b(?!,\d))"
    rf"|(?P<century>{CENTURY}(?:(?:{DASH}| (?:and|to|or) (?:the )?(?:(?:early|late|mid)[ -])?){CENTURY})?"
    r"[ -](?:century|centuries|millennium)\b"
    rf"(?: {ERA}(?!\w))?)"
    rf"|(?P<decade>{YEAR}s?(?:{DASH}| (?:and|to) (?:the )?){YEAR}s\b|{YEAR}s{DASH}\d\ds\b|(?:1\d|20)\d0['’]?s\b)"
    rf"|(?P<era_year>(?:AD|A\.D\.) ?\d{{1,4}}\b(?:{JOINED}\d{{1,4}}\b)?"
    rf"|\d{{1,3}}(?:,?\d{{3}})?(?:{JOINED}\d{{1,4}})? {ERA}(?!\w))"
    rf"|(?P<year_range>{YEARS}{DASH}(?:{YEARS}|\d\d)\b(?![.,]?\d|%| (?:of )?{MONTH})"
    rf"|{YEAR}/(?:\d{{4}}|\d{{1,2}})\b(?![.,/]?\d|%)"
    rf"|{YEARS} (?:to|through|until|till) {YEARS}(?:{UNCOUNTED}|(?= (?:seasons?|period|era|term)\b)))"
    rf"|(?P<year>{YEAR}(?![\w°%′″]|[.,:]\d|-\d| ?[×]))"
    r")"
)

FRACTION = r"[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]"
FIGURE = (
    rf"(?:(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,3}}(?: \d{{3}})+(?!\d)|\d+)(?:\.\d+)?"
    rf"(?: ?{FRACTION}|[ +]\d{{1,2}}[/⁄]\d{{1,2}}(?!\d))?)"
)
SCALE = r"(?:hundred|thousand|million|billion|trillion|quadrillion|quintillion|lakh|crore)"
POWER = r"(?: ?[×x·] ?10(?:\^ ?\(?[−–+-]?\d+\)?|\*\*[−-]?\d+|[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[−–]\d+|\d{1,2}(?!\d))|[eE][+−-]?\d+)"
GROUPED = r"\d{1,3}(?:,\d{3})+"
VALUE = (
    rf"(?:[−-]?{FIGURE}{POWER}|10(?:\^[−-]?\d+|[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)|[−-]?{FIGURE}(?:\s?±\s?{FIGURE})?(?:[ -]{SCALE}\b)?)"
)
# Two values joined by "and" are one answer only after "between": elsewhere they are two facts.
RANGE = rf"(?:(?<=etween ){VALUE} and {VALUE}|{VALUE}(?:(?: ?[–—×x-] ?| (?:to|or|by) ){VALUE}){{0,3}})"
FIGURE_RANGE = rf"{VALUE}(?:(?:[–—-]{VALUE})++|(?: ?[–—×-] ?| to ){VALUE})?"

WORD_ONES = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)"
)
WORD_TENS = r"(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty)"
WORD = rf"(?:{WORD_TENS}(?:[- ]{WORD_ONES})?|{WORD_ONES})"
SCALED_WORDS = rf"(?:(?:{WORD}(?: and a half)?|[Aa]|half a) {SCALE}(?:(?:,? and)? (?:{WORD}|{SCALE})(?!\w))*)"
WORDS = rf"(?:{SCALED_WORDS}|{WORD}(?: and a half)?)"

LENGTH = (
    r"(?:[kcmnµμ]?m|mi|ft|yd|nmi|AU|kilomet(?:re|er)s?|(?:centi|milli|nano|micro)?met(?:re|er)s?|(?:nautical )?miles?"
    r"|feet|foot|inch(?:es)?|in(?=\))|yards?|light[- ]years?|parsecs?|fathoms?)"
)
PREFIX = r"(?:kilo|mega|giga|tera|milli|micro|nano|pico)"
UNIT = (
    rf"(?:(?:square|cubic|sq\.?|cu\.?) {LENGTH}|{LENGTH}[²³23]?|ha|hectares?|acres?|[kmμµ]?g|t|lbs?|oz"
    r"|(?:kilo|milli)?grams?|tonnes?|(?:long |short )?tons?|pounds?|ounces?"
    r"|(?<=\d )st(?= \d)|stone(?! (?!and |or )[a-z])|[mk]?[lL]|lit(?:re|er)s?|gallons?|bushels?|barrels?"
    r"|°\s?[CFKR]?|K|kelvins?|degrees?(?: (?:Celsius|Fahrenheit))?|[kMGTmμµ]?(?:Hz|W|V|A|J|Pa|eV|B|Wh)|[kMGm]?bar|psi"
    r"|[kMGmμµn]?(?:Gy|Sv|Bq|Ci|lm|lx|mol|Ω)|[kMGmμµn](?:N|F|H|T|rad)|atm|hp|horsepower|dB|ppm|ppb|rpm|Mya|Ma|Ga"
    rf"|{PREFIX}?(?:watts?|volts?|hertz|bytes?|bits?|joules?|grays?|sieverts?|becquerels?|curies?|newtons?|pascals?"
    r"|teslas?|farads?|ohms?|moles?|lumens?|amperes?|amps?|electronvolts?|calories|seconds?)"
    r"|calories|kcal|cal|knots?|mph|kn"
    r"|/(?:sq\.? ?(?:km|mi)|(?:km|mi|m)[²³23]?|ha)|(?<=[0-9] )[mµμn]?s"
    r"|seconds?|minutes?|hours?|h|hrs?|mins?|secs?|days?|weeks?|months?|years?|decades?|centuries)"
    r"(?![\w])(?:/[A-Za-zµμ]{1,4}(?![A-Za-z])[²³23]?| ?per (?:k?m[²³]?|mi[²³]?|h|s|min|hour|second|minute|day|week"
    r"|month|year|sq (?:km|mi)|square (?:kilomet(?:re|er)|mile)|L|mol|kg|g|capita|cent)(?![\w]))?"
    r"(?:[²³]|\^?[−-]\d(?!\d))?"
    r"(?: (?:s|m|cm|kg|g|mol|K|Pa|J|W)\^?[−-]\d(?!\d))*"
)
CURRENCY = r"(?:(?:US|AU?|CA?|NZ|HK|R)?\$|[€£¥₹₽])"
ABOUT = r"(?:[~≈]|about |approximately |approx\.? |ca?\. )?"
MEASURE = rf"{RANGE}[\s-]?{UNIT}"
CLOCK = (
    r"(?:(?:\d{1,2}(?: ?[–—-] ?| to ))?\d{1,2}(?:\.\d{2})? ?[ap]\.?m\b\.?"
    r"|\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?[ap]\.?m\b\.?)?)"
)
PRICE = (
    rf"{CURRENCY} ?{FIGURE}(?:(?:{DASH}| to ){CURRENCY}? ?{FIGURE})?(?:[ -]?{SCALE}\b| ?(?:bn|[mM]|k)\b)?"
    r"(?: \d{1,2}[sd]\b)*"
)
SUM = rf"{RANGE} (?:(?:US|Canadian|Australian) )?(?:dollars|euros|pounds sterling|yen|rupees|francs|rou?bles)\b"

# The first character distinguishes figures, words and prices: most positions are none of them.
NUMBERS_EN = re.compile(
    r"(?<![\w/^.])(?:(?=[0-9−–-])(?<!\w[-–])(?<![\d.,][.,])(?<!\bp\. )(?<!\bpp\. )(?<!ISBN )(?:"
    rf"(?P<sum>{SUM})"
    rf"|(?P<percent>(?<=etween ){VALUE} ?% and {VALUE} ?%|(?<!rom ){VALUE} ?%(?: ?[–—-] ?| to ){VALUE} ?%"
    rf"|(?!{GROUPED} or ){RANGE}(?:\s?%|[ -]per ?cent\b| percentage points))"
    rf"|(?P<quantity>{MEASURE}|\d{{1,2}}['′’] ?\d{{1,2}}(?:\.\d+|{FRACTION})?(?:[\"″”]|''))"
    rf"|(?P<clock>{CLOCK}(?:{DASH}{CLOCK})?(?![:.,–-]?\d))"
    r"|(?P<ratio>\d+(?:,\d{3})*(?:\.\d+)?(?:(?::| : )\d+(?:,\d{3})*(?:\.\d+)?)+(?!\d|[–-]\d))"
    r"|(?P<ordinal>\d{1,3}(?:,\d{3})*(?:st|nd|rd|th)\b)"
    rf"|(?P<cardinal>{FIGURE_RANGE}(?![\w°′″]|[.,:/]\d| (?:of )?{MONTH})))"
    r"|(?=[Aaefhnost])(?<!\w[-–])(?:"
    rf"(?P<quantity_words>(?:(?<=etween ){WORDS} and {WORDS}|{WORDS}(?: (?:to|or) {WORDS})?)[ -]{UNIT})"
    rf"|(?P<percent_words>{WORDS}(?: (?:to|or) {WORDS})?[ -]per ?cent\b)"
    rf"|(?P<number_words>(?:(?:{WORD}|[Aa]) (?:to|or) )?{SCALED_WORDS})"
    r"|(?P<ordinal_word>(?:third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"(?=[ -](?:largest|longest|highest|oldest|most|smallest|tallest|deepest|biggest|busiest|richest))))"
    rf"|(?=[$€£¥₹₽UACNHR])(?<!\w[-–])(?P<money>(?<=etween ){PRICE} and {PRICE}|{PRICE}))"
)

# What may follow a measure as part of it: the same in other units, in brackets ("6 ft 2 in (188 cm)").
_INSIDE = rf"{ABOUT}(?:{PRICE}|(?:(?:{VALUE} and {VALUE}|{RANGE})[ -]?|{WORDS}[ -])(?:{UNIT}|in\b))"
CONVERSION_EN = re.compile(
    rf"\s?[(\[]\s?{_INSIDE}(?:(?:,? and |[,;/] ?| | or | by |\s?[–—×x]\s?){_INSIDE}){{0,5}}\s?[)\]]"
)
# A further value with a unit of its own, and how it is joined to the measure before.
FURTHER_EN = re.compile(
    rf"(?P<gap>,? and |, | |-|\s?[–—×x]\s?| by | to )(?:\+?{VALUE}[ -]?|{WORDS}[ -])(?P<unit>°?[A-Za-z]+|[′″'\"])"
    r"(?!\w)"
)

# Families of units, from the largest to the smallest: a measure may continue in a smaller one ("5 lb 3 oz").
FAMILIES_EN = (
    (("mi", "mile"), ("yd", "yard"), ("ft", "foot", "feet"), ("in", "inch", "inche")),
    (("km", "kilometre", "kilometer"), ("m", "metre", "meter"), ("cm", "centimetre", "centimeter"), ("mm",)),
    (("t", "ton", "tonne", "cwt"), ("st", "stone"), ("lb", "pound"), ("oz", "ounce")),
    (("kg", "kilogram"), ("g", "gram")),
    (("°C",),),
    (("°F",),),
    (
        ("century", "centurie"), ("decade",), ("year", "yr", "y"), ("month",), ("week",), ("day", "d"),
        ("hour", "hr", "h"), ("minute", "min", "m"), ("second", "sec", "s"),
    ),
)  # fmt: skip

PLAIN_FIGURE = r"(?:\d{1,3}(?: \d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)*)"
NUMBERS_PLAIN = re.compile(
    rf"(?<![\w/^.,-])(?:(?P<percent>{PLAIN_FIGURE} ?%)"
    rf"|(?P<quantity>{PLAIN_FIGURE} ?(?:[kcmnµμ]?m[²³]?|[kmµμ]?g|t|ha|[mck]?[lL]|°C|[kMG]?(?:W|V|Hz))(?!\w))"
    rf"|(?P<cardinal>{PLAIN_FIGURE}(?![\w/-]|[.,:]\d)))"
)
"""Numbers written in figures alone, for languages without rules."""
