"""English dates and numbers as two patterns; the name of the alternative that matched is the span's label.

Alternatives stand from the most to the least specific, because a pattern takes the first that fits.
"""

from __future__ import annotations

import re

MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.?)"
)
DAY = r"(?:3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
YEAR = r"(?:1\d{3}|20\d\d)"
ERA = r"(?:BCE?|CE|AD|B\.C\.(?:E\.)?|A\.D\.|C\.E\.)"
DASH = r"\s?[–—-]\s?"
ORDINAL_WORD = (
    r"(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|thirteenth|fourteenth"
    r"|fifteenth|sixteenth|seventeenth|eighteenth|nineteenth|twentieth|twenty-first)"
)
CENTURY = rf"(?:\d{{1,2}}(?:st|nd|rd|th)|{ORDINAL_WORD})"

DATES_EN = re.compile(
    r"(?<![\w/])(?<![\d.,$£€¥][.,-])(?:"
    rf"(?P<day_range>{DAY}{DASH}{DAY} {MONTH},? {YEAR}\b|{MONTH} {DAY}{DASH}{DAY},? {YEAR}\b)"
    rf"|(?P<date>{DAY} (?:of )?{MONTH},? (?:{YEAR}\b(?: {ERA}(?!\w))?|\d{{1,4}} {ERA}(?!\w))|{MONTH} {DAY},? {YEAR}\b"
    rf"|{YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b)"
    rf"|(?P<month>{MONTH},? (?:of )?{YEAR}\b)"
    rf"|(?P<season>(?:[Ss]pring|[Ss]ummer|[Aa]utumn|[Ff]all|[Ww]inter) (?:of )?{YEAR}\b)"
    rf"|(?P<day>{DAY} (?:of )?{MONTH}(?!\w)|{MONTH} {DAY}\b(?!,\d))"
    rf"|(?P<century>{CENTURY}(?:(?:{DASH}| (?:and|to|or) (?:the )?){CENTURY})?[ -](?:century|centuries|millennium)\b"
    rf"(?: {ERA}(?!\w))?)"
    rf"|(?P<decade>{YEAR}s?(?:{DASH}| (?:and|to) (?:the )?){YEAR}s\b|(?:1\d|20)\d0['’]?s\b)"
    rf"|(?P<era_year>(?:AD|A\.D\.) ?\d{{1,4}}\b(?:{DASH}\d{{1,4}}\b)?"
    rf"|\d{{1,3}}(?:,?\d{{3}})?(?:{DASH}\d{{1,4}})? {ERA}(?!\w))"
    rf"|(?P<year_range>{YEAR}{DASH}(?:{YEAR}|\d\d)\b(?![.,]?\d|%))"
    rf"|(?P<year>{YEAR}(?![\w°%′″]|[.,:]\d|-\d| ?[×]))"
    r")"
)

FIGURE = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
SCALE = r"(?:hundred|thousand|million|billion|trillion)"
POWER = r"(?: ?[×x·] ?10(?:\^ ?\(?[−–+-]?\d+\)?|\*\*[−-]?\d+|[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[−–]\d+|\d{1,2}(?!\d))|[eE][+−-]?\d+)"
VALUE = rf"(?:[−-]?{FIGURE}{POWER}|10(?:\^[−-]?\d+|[⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)|[−-]?{FIGURE}(?:\s?±\s?{FIGURE})?(?: {SCALE}\b)?)"
# Two values joined by "and" are one answer only after "between": elsewhere they are two facts.
RANGE = (
    rf"{VALUE}(?:(?:\s?[–—-]\s?| (?:to|or) |(?:(?<=between \d)|(?<=between \d\d)|(?<=between \d\d\d)) and ){VALUE})?"
)
FIGURE_RANGE = rf"{VALUE}(?:(?:\s?[–—-]\s?| to ){VALUE})?"

WORD_ONES = (
    r"(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen)"
)
WORD_TENS = r"(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty)"
WORD = rf"(?:{WORD_TENS}(?:-{WORD_ONES})?|{WORD_ONES})"
SCALED_WORDS = rf"(?:{WORD}|[Aa]|half a) {SCALE}(?: {SCALE})?(?:(?: and)? {WORD}(?!\w))?"
WORDS = rf"(?:{SCALED_WORDS}|{WORD})"

LENGTH = (
    r"(?:[kcmnµμ]?m|mi|ft|yd|nmi|AU|kilomet(?:re|er)s?|(?:centi|milli|nano|micro)?met(?:re|er)s?|miles?|feet|foot"
    r"|inch(?:es)?|in(?=\))|yards?|light[- ]years?|parsecs?|fathoms?)"
)
UNIT = (
    rf"(?:(?:square|cubic|sq\.?|cu\.?) {LENGTH}|{LENGTH}[²³23]?|ha|hectares?|acres?|[kmμµ]?g|t|lbs?|oz"
    r"|(?:kilo|milli)?grams?|tonnes?|(?:long |short )?tons?|pounds?|ounces?|[mk]?[lL]|lit(?:re|er)s?"
    r"|gallons?|bushels?|barrels?"
    r"|°\s?[CFKR]?|K|kelvins?|degrees?(?: (?:Celsius|Fahrenheit))?|[kMGT]?(?:Hz|W|V|A|J|Pa|eV|B|Wh)|[kMG]?bar|psi"
    r"|atm|hp|horsepower|[kMG]?(?:watts?|volts?|hertz|bytes?|bits?|joules?)|dB|ppm|rpm|mol|Mya|Ma|Ga"
    r"|calories|kcal|cal|knots?|mph|kn"
    r"|seconds?|minutes?|hours?|days?|weeks?|months?|years?|decades?|centuries)"
    r"(?![\w])(?:\s?(?:/|per) ?(?:k?m[²³]?|mi[²³]?|h|s|min|hour|second|minute|day|week|month|year|sq (?:km|mi)"
    r"|square (?:kilomet(?:re|er)|mile)|L|mol|kg|g|capita|cent)(?![\w]))?[²³]?"
)
QUANTITY = rf"{RANGE}[\s-]?{UNIT}"
CURRENCY = r"(?:(?:US|AU?|CA?|NZ|HK|R)?\$|[€£¥₹₽])"
MONEY = (
    rf"{CURRENCY} ?{FIGURE}(?:{DASH}{CURRENCY}?{FIGURE})?(?:[ -]?{SCALE}\b| ?(?:bn|[mM]|k)\b)?"
    rf"|{RANGE} (?:(?:US|Canadian|Australian) )?(?:dollars|euros|pounds sterling|yen|rupees|francs|rou?bles)\b"
)

NUMBERS_EN = re.compile(
    r"(?<![\w/^.])(?<!\w[-–])(?<![\d.,][.,])(?<!\bp\. )(?<!\bpp\. )(?<!ISBN )(?:"
    rf"(?P<money>{MONEY})"
    rf"|(?P<percent>{RANGE}(?:\s?%|[ -]per ?cent\b| percentage points))"
    rf"|(?P<quantity>{QUANTITY}(?: \({QUANTITY}(?:[;,] {QUANTITY})?\))?)"
    rf"|(?P<quantity_words>{WORDS}(?: (?:to|or) {WORDS})?[ -]{UNIT})"
    rf"|(?P<number_words>{SCALED_WORDS})"
    r"|(?P<clock>\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\b\.?)?)"
    r"|(?P<ordinal>\d{1,3}(?:,\d{3})*(?:st|nd|rd|th)\b)"
    r"|(?P<ordinal_word>(?:third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)"
    r"(?=[ -](?:largest|longest|highest|oldest|most|smallest|tallest|deepest|biggest|busiest|richest)))"
    rf"|(?P<cardinal>{FIGURE_RANGE}(?![\w°′″]|[.,:/]\d))"
    r")"
)

NUMBERS_PLAIN = re.compile(
    r"(?<![\w/^.,-])(?:(?P<percent>\d+(?:[.,]\d+)*\s?%)|(?P<cardinal>\d+(?:[.,]\d+)*(?![\w/-]|[.,:]\d)))"
)
