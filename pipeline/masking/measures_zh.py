"""Chinese measures: extension of a number with a unit to the whole measure.

A measure continues in a smaller unit ("3小时25分18秒", "18岁零3个月"), in a second value of its kind ("5%～7%",
"1.2米×3.4米"), or is repeated in brackets ("5公里（3.1英里）"); a currency before a number is part of it.
"""

from __future__ import annotations

import re

from pipeline.masking.rules_zh import DASH, NUMERAL, PER, PHYSICAL, RANGE, UNIT, VALUE

FAMILIES = (
    ("世纪", "世紀", "年", "岁", "歲"), ("个月", "個月"), ("周", "週"), ("天", "日"),
    ("小时", "小時", "个小时", "個小時"),
    ("分钟", "分鐘", "分"), ("秒",),
    (), ("公里", "千米"), ("米", "公尺"), ("厘米", "公分"), ("毫米", "公釐"),
    (), ("英里",), ("英尺",), ("英寸", "寸"),
    (), ("丈",), ("尺",), ("寸",),
    (), ("吨", "噸", "公吨", "公噸"), ("公斤", "千克", "斤"), ("克", "两", "兩"),
    (), ("公顷", "公頃"), ("亩", "畝"),
    (), ("元", "圆", "圓"), ("角",), ("分",),
    (), ("英镑", "英鎊"), ("先令",), ("便士",),
    (), ("度",), ("分",), ("秒",),
)  # fmt: skip
"""Units from the largest to the smallest; an empty row ends a family."""

FURTHER = re.compile(
    rf"(?P<gap>{DASH}|\s?[×x]\s?|[零又]?)(?:[零负負]下?)?(?:{VALUE}|{NUMERAL}++)\s?(?P<unit>{UNIT}|[%％‰])"
)
CONVERSION = re.compile(
    rf"\s?[（(]\s?[约約合即或]{{0,2}}{RANGE}\s?{PHYSICAL}{PER}"
    rf"(?:(?:[；;，,、/]|\s?[×x]\s?)\s?{RANGE}\s?{PHYSICAL}){{0,4}}\s?[)）]"
)
HUNDREDTHS = re.compile(r"(?<=秒)[0-9０-９]{1,2}(?![0-9０-９])")
YEAR = re.compile(r"(?:[0-9０-９]{3}|[〇零○一二三四五六七八九]{4})年\Z")
CLOCK_BEFORE = re.compile(r"[时時点點]\Z")
LAST_UNIT = re.compile(rf"(?:{UNIT}|[%％‰])\Z")
LONGEST_UNIT = 5
BEFORE = re.compile(rf"(?:[0-9０-９]|{NUMERAL})(?P<unit>{UNIT})[零又]?\Z")
FIRST = re.compile(rf"(?:{VALUE}|{NUMERAL}++)\s?(?P<unit>{UNIT})")
CURRENCY = re.compile(r"(?:人民[币幣]|港[币幣]|新[台臺][币幣]|[台臺][币幣]|日[币幣]|[卢盧]布|美金)\s?\Z")


FROM = ("从", "從", "由", "自")
"""Before a value from which something changes to another: two facts."""


def _rank_units() -> dict[str, dict[int, int]]:
    ranks: dict[str, dict[int, int]] = {}
    family = 0
    for rank, units in enumerate(FAMILIES):
        family += not units
        for unit in units:
            ranks.setdefault(unit, {})[family] = rank
    return ranks


RANKS = _rank_units()


def grow_chinese_measure(text: str, start: int, end: int, label: str) -> tuple[int, int]:
    """Return the bounds of the whole measure around a number."""
    if text[start - 1 : start] in ("币", "幣", "布", "金") and (
        name := CURRENCY.search(text, max(0, start - 4), start)
    ):
        start = name.start()
    if label not in ("quantity", "percent", "money"):
        return start, end
    while further := _goes_on(text, start, end):
        end = further.end()
    if hundredths := HUNDREDTHS.match(text, end):
        end = hundredths.end()
    conversion = CONVERSION.match(text, end)
    return start, conversion.end() if conversion else end


def is_part_of_chinese_measure(text: str, start: int, end: int) -> bool:
    """Return whether a measure continues after the span, or began before it in a larger unit."""
    if _goes_on(text, start, end) or HUNDREDTHS.match(text, end):
        return True
    unit = FIRST.match(text, start, end)
    if unit is None:
        return False
    before = max(0, start - LONGEST_UNIT - 2)
    if unit["unit"].startswith(("分", "秒")) and CLOCK_BEFORE.search(text, before, start):
        return True
    larger = BEFORE.search(text, before, start)
    return larger is not None and _is_smaller(larger["unit"], unit["unit"])


def _goes_on(text: str, start: int, end: int) -> re.Match[str] | None:
    """Match a further value with a unit that is part of the preceding measure."""
    last = LAST_UNIT.search(text, max(start + 1, end - LONGEST_UNIT), end)
    further = FURTHER.match(text, end) if last else None
    if last is None or further is None or (last[0] == "年" and YEAR.search(text, max(start, end - 5), end)):
        return None
    if further["gap"] in ("", "零", "又"):
        return further if _is_smaller(last[0], further["unit"]) else None
    if text[start - 1 : start] in FROM and further["gap"].strip() in ("至", "到"):
        return None
    # Two years are two dates, unless a date rule matches them together.
    return further if last[0] == further["unit"] != "年" else None


def _is_smaller(unit: str, other: str) -> bool:
    """Return whether the other unit is a smaller one of the same family."""
    one, two = RANKS.get(unit, {}), RANKS.get(other, {})
    return any(two.get(family, -1) > rank for family, rank in one.items())
