"""Measures: extension of a number with a unit to the whole measure.

A measure continues in a smaller unit of its family ("5 lb 3 oz", "69 hours, 8 minutes"), in a second dimension ("3 m ×
4 m"), or is repeated in brackets ("6 ft 2 in (188 cm)"); a sign or a currency before a number is part of it.
"""

from __future__ import annotations

import re

from pipeline.masking.measures_zh import grow_chinese_measure, is_part_of_chinese_measure
from pipeline.masking.rules_en import CONVERSION_EN, CURRENCY, FAMILIES_EN, FURTHER_EN

RANKS = {
    name: (family, rank)
    for family, units in enumerate(FAMILIES_EN)
    for rank, names in enumerate(units)
    for name in names
}
MEASURES = {"quantity", "quantity_words", "money"}
SMALLER_GAPS = {" ", ", ", " and ", ", and ", "-"}

LAST_UNIT = re.compile(r"°?[A-Za-z]+\Z|[′']\Z")
SIGN_BEFORE = re.compile(
    rf"(?P<currency>{CURRENCY}|\b(?:USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|AUD|CAD|RUB|Rs\.?))\s?\Z"
    r"|(?<![\w)])(?<!\d )[±<>≤≥≠−+] ?\Z"
)
LARGER_BEFORE = re.compile(r"\d[ -]?(?P<unit>[A-Za-z]+)(?:,? and |, | )\Z")
FIRST_UNIT = re.compile(r"\d[\d.,½¼¾]*[ -]?(?P<unit>[A-Za-z]+)(?!\w)")
LOOK_BACK = 24
"""Characters before a number that may contain its sign, its currency or a larger unit."""


def grow_span(text: str, start: int, end: int, label: str, lang: str) -> tuple[int, int, str]:
    """Return the bounds of the whole measure around a number, and its label."""
    if lang == "zh":
        start, end = grow_chinese_measure(text, start, end, label)
    touched = start > 0 and not text[start - 1].isalnum() and text[start].isdigit() and label != "money"
    if touched and (sign := SIGN_BEFORE.search(text, max(0, start - LOOK_BACK), start)):
        start = sign.start()
        label = "money" if sign["currency"] else label
    if label in MEASURES:
        end = _grow_measure(text, start, end)
    return start, end, label


def is_part_of_measure(text: str, start: int, end: int, lang: str) -> bool:
    """Return whether a measure continues after the span, or began before it in a larger unit."""
    if lang == "zh" and is_part_of_chinese_measure(text, start, end):
        return True
    if text[end - 1].isalpha() and (_goes_on(text, start, end) or CONVERSION_EN.match(text, end)):
        return LAST_UNIT.search(text, start, end) is not None and any(map(str.isdigit, text[start:end]))
    larger = LARGER_BEFORE.search(text, max(0, start - LOOK_BACK), start)
    unit = FIRST_UNIT.match(text, start)
    return bool(larger and unit and _is_smaller(larger["unit"], unit["unit"]))


def _grow_measure(text: str, start: int, end: int) -> int:
    while further := _goes_on(text, start, end):
        end = further.end()
    if conversion := CONVERSION_EN.match(text, end):
        end = conversion.end()
    return end


def _goes_on(text: str, start: int, end: int) -> re.Match[str] | None:
    """Match a further value with a unit that is part of the preceding measure."""
    further = FURTHER_EN.match(text, end)
    last = LAST_UNIT.search(text, start, end) if further else None
    if further is None or last is None:
        return None
    if further["gap"] in SMALLER_GAPS:
        return further if _is_smaller(last.group(), further["unit"]) else None
    if further["gap"] == " to " and text.startswith("rom ", max(0, start - 4)):
        return None  # start and end of a change: two facts
    before, after = _rank(last.group()), _rank(further["unit"])
    return further if before and after and before[0] == after[0] else None


def _is_smaller(unit: str, other: str) -> bool:
    """Return whether the other unit is a smaller one of the same family."""
    one, two = _rank(unit), _rank(other)
    return one is not None and two is not None and one[0] == two[0] and one[1] < two[1]


def _rank(unit: str) -> tuple[int, int] | None:
    """Return the family of a unit and its rank there, the largest first."""
    return RANKS.get(unit) or RANKS.get(unit.removesuffix("s"))
