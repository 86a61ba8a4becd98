"""Detector of half facts: spans whose fact continues beside them.

A hidden span must be a whole fact: of "1:200,000" neither "1" nor "200,000", of "6 ft 2 in" not "6 ft", of "1990/91"
not "1990". `is_half_fact` searches for a figure, a sign, a unit or a number word that touches a span and continues it.
It is independent of the source of the span, and reads a few words on either side only: its cost does not grow with the
text.
"""

from __future__ import annotations

import re

from pipeline.masking.measures import is_part_of_measure
from pipeline.masking.rules_en import FRACTION, MONTH, SCALE, UNIT, WORD, WORD_ONES, WORD_TENS
from pipeline.masking.rules_zh import AFTER_ZH, BEFORE_ZH, STARTS_WITH_ZERO_ZH, STARTS_ZH

PLAIN_SPACES = str.maketrans("\u00a0\u2007\u2009\u200a\u202f", "     ")
"""Spaces that typesetters put into numbers; replaced one by one, so that offsets hold."""

LOOK = 32
"""Characters read on either side: more than any word that continues a number has."""

AFTER_FIGURE = re.compile(
    rf"[0-9A-Za-z]|[.,:/⁄·'’][0-9]| ?{FRACTION}| \d{{1,2}}[/⁄]\d| ?[%‰°′″]| ?[±×^] ?\d| (?:BCE?|CE|AD)(?!\w)"
    rf"|[–—-]\d(?!\d? (?:of )?{MONTH})|/(?:sq|km|mi)|[ -]0\d+(?![\d:])|(?<!\d\d\d) ?[ap]\.?m\b"
)
AFTER_NUMBER = re.compile(
    rf"[ -]?{UNIT}|[ -](?:{SCALE}s?|dozen)\b| [–—-] \d[\d.,/]*(?!\d)(?! (?:of )?{MONTH})"
    r"|(?<![\d.,]\d\d\d)(?<!\.\d\d)(?<!\.\d) \d{3}(?!\d)"
)
AFTER_WORD = re.compile(rf"[ -](?:{SCALE}\b|{UNIT})")
AFTER_TENS = re.compile(rf"[ -]{WORD_ONES}\b")
AFTER_SCALE = re.compile(rf"(?: and)?[ -](?:{WORD}|{SCALE})\b")
AFTER_FOOT = re.compile(rf"(?<=f[eo][eo]t)[ -](?:{WORD}|\d{{1,2}})\b")
AFTER_DAY = re.compile(r",? \d{3,4}(?!,?\d)")

ENDS_WITH_DAY = re.compile(rf"\d(?:st|nd|rd|th)? (?:of )?{MONTH}\Z|{MONTH} \d{{1,2}}(?:st|nd|rd|th)?\Z")
ENDS_WITH_WORD = re.compile(rf"\b(?:(?P<scale>{SCALE})|(?P<tens>{WORD_TENS})|{WORD_ONES})\Z")
YEAR_OR_DATE = re.compile(rf"{MONTH}|(?<!\d)(?:1\d|20)\d\d\Z")

NEAR = 3
BEFORE_FIGURE = re.compile(
    r"(?:[0-9A-Za-z]|\d[.,:/⁄·'’]|(?:^|[\s(\[])\.|[−±×≠<>≤≥^°′″$€£¥₹₽] ?|(?:^|[\s(\[])-|\d[–—-])\Z"
)
BEFORE_NUMBER = re.compile(rf"(?:\d [–—−-] |{SCALE}[ -]|\b(?:[Mm]inus|[Nn]egative) )\Z")
BEFORE_DASH = re.compile(r"\b(?P<word>[A-Za-z]+)[–-]\Z")
QUALIFIERS = {"mid", "early", "late", "pre", "post", "bc", "bce", "ad", "ce"}
BEFORE_GROUP = re.compile(r"(?:(?<![\d.,-])\d{1,3}|[ ,]\d{3}) \Z")
BEFORE_EARLY_YEAR = re.compile(rf"\d(?:st|nd|rd|th)? (?:of )?{MONTH},? \Z|{MONTH} \d{{1,2}}, \Z")
BEFORE_MONTH = re.compile(r"(?<![\d.,])\d{1,2}(?:st|nd|rd|th)? (?:of )?\Z")
BEFORE_DAY = re.compile(r"\b(?<!\d[.,:/])\d{1,2}(?:st|nd|rd|th)?(?:,? and| or| to| ?[–—-]) ?\Z")
BEFORE_SCALE = re.compile(rf"(?:\d|\b{WORD}|\bhalf an?|\bhalf|\b{SCALE})[ -]\Z")
BEFORE_SHARE = re.compile(r"\b(?:half|(?:quarter|third|fifth|tenth)s?) (?:of )?\Z")
BEFORE_ONES = re.compile(rf"\b(?:{WORD_TENS}[ -]|{SCALE}(?: and)? )\Z")

NUMBER_BEFORE_ZERO = re.compile(r"\d[ -]\Z")
STARTS_WITH_GROUP = re.compile(r"\d{3}(?!\d|,\d)")
STARTS_WITH_MONTH = re.compile(rf"{MONTH}\b")
STARTS_WITH_DAY = re.compile(rf"\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{MONTH}")
STARTS_WITH_ONE = re.compile(rf"[Aa] {SCALE}\b")
STARTS_WITH_WORD = re.compile(rf"(?:(?P<scale>{SCALE})|(?P<ones>{WORD_ONES})|{WORD_TENS})\b")


def is_half_fact(text: str, start: int, end: int, lang: str) -> bool:
    """Return whether the fact in `text[start:end]` continues before or after it. `text` has plain spaces
    (`PLAIN_SPACES`).
    """
    if lang == "zh":
        near = max(0, start - NEAR)
        if AFTER_ZH.match(text, end) or (STARTS_ZH.match(text, start) and BEFORE_ZH.search(text, near, start)):
            return True
        if STARTS_WITH_ZERO_ZH.match(text, start) and text[near:start][-1:].isalpha():
            return True
    return (
        is_part_of_measure(text, start, end, lang)
        or _goes_on_after(text, start, end)
        or _goes_on_before(text, start, end)
    )


def _goes_on_after(text: str, start: int, end: int) -> bool:
    tail = max(start, end - LOOK)
    if "0" <= text[end - 1] <= "9":
        if AFTER_FIGURE.match(text, end):
            return True
        if not YEAR_OR_DATE.search(text, tail, end):
            return AFTER_NUMBER.match(text, end) is not None
    elif ending := ENDS_WITH_WORD.search(text, tail, end):
        follows = AFTER_SCALE if ending["scale"] else AFTER_TENS if ending["tens"] else AFTER_WORD
        return bool(follows.match(text, end) or AFTER_WORD.match(text, end))
    elif text[end - 1] == "t" and AFTER_FOOT.match(text, end):
        return True
    return AFTER_DAY.match(text, end) is not None and ENDS_WITH_DAY.search(text, tail, end) is not None


def _goes_on_before(text: str, start: int, end: int) -> bool:
    low = max(0, start - LOOK)
    if "0" <= text[start] <= "9":
        if text[start] == "0" and text[start:end].isdigit() and NUMBER_BEFORE_ZERO.search(text, low, start):
            return True
        if STARTS_WITH_DAY.match(text, start, end):
            return BEFORE_DAY.search(text, low, start) is not None
        if BEFORE_FIGURE.search(text, max(0, start - NEAR), start):
            return True
        if (dash := BEFORE_DASH.search(text, low, start)) and dash["word"].lower() not in QUALIFIERS:
            return True
        if YEAR_OR_DATE.search(text, start, end):
            return False
        groups = (BEFORE_GROUP, BEFORE_EARLY_YEAR) if STARTS_WITH_GROUP.match(text, start) else ()
        return any(before.search(text, low, start) for before in (BEFORE_NUMBER, *groups))
    if STARTS_WITH_MONTH.match(text, start):
        return BEFORE_MONTH.search(text, low, start) is not None
    if STARTS_WITH_ONE.match(text, start):
        return BEFORE_SHARE.search(text, low, start) is not None
    if opening := STARTS_WITH_WORD.match(text, start, end):
        before = BEFORE_SCALE if opening["scale"] else BEFORE_ONES
        return before.search(text, low, start) is not None
    return False
