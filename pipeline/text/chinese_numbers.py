"""Conversion of Chinese numerals to digits, in simplified text: "二十一" is 21, "第二次" is 第 2 次.

Guarantees: percentages, fractions and decimals ("百分之五", "三分之一", "三点五") are converted, and "3.5亿" is
350000000; a unit without a figure is a word ("百度", "千叶"); a run of more than `LONGEST` numerals stays text, so that
no number has too many digits.
"""

from __future__ import annotations

import re

from pipeline.text.number_words import shift_point

LONGEST = 24

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}
_POWERS = {"十": 1, "百": 2, "千": 3, "万": 4, "亿": 8}
_FIGURES, _UNITS = "零一二三四五六七八九〇", "".join(_POWERS)
_ALL = f"两{_FIGURES}{_UNITS}"
_RUN = re.compile(rf"[负{_ALL}][{_ALL}]*+")
_UNIT_BEHIND = re.compile(rf"[{_UNITS}](?<=\d.)")
_SCALED = re.compile(rf"(?<![\d.])\d{{1,{LONGEST}}}(?:\.\d{{1,{LONGEST}}})?[{_UNITS}][{_ALL}\d]*+")
_COUNTED = "个次位名年天岁倍种座条届度"
_HAN = re.compile("[\u4e00-\u9fff]")
_SINGLE = frozenset(f"{_FIGURES}十")
_PARTS = re.compile(rf"\d+(?:\.\d+)?|[{_ALL}]")
_SHARE = re.compile(rf"百分之([{_ALL}\d.点]+)")
_FRACTION = re.compile(rf"(?<![{_ALL}\d.])([{_ALL}\d]{{1,9}})分之([{_ALL}\d]{{1,9}})(?![{_ALL}\d.])")
_DECIMAL = re.compile(rf"(?<![{_ALL}])([{_ALL}]{{1,{LONGEST}}})点([{_FIGURES}]{{1,{LONGEST}}})(?![{_ALL}分])")


def write_chinese_numbers(text: str) -> str:
    """Replace numerals by digits, between spaces."""
    if "点" in text:
        text = _DECIMAL.sub(lambda found: f" {_read(found[1])}.{_spell(found[2])} ", text)
    if "分之" in text:
        text = _FRACTION.sub(lambda f: f[0] if f[1] == "百" else f" {_read(f[2])}⁄{_read(f[1])} ", text)
        text = _SHARE.sub(lambda found: f" {_read(found[1])} percent ", text)
    if _UNIT_BEHIND.search(text):
        text = _SCALED.sub(lambda found: f" {_read(found[0])} ", text)
    return _RUN.sub(_write, text)


def write_single_figure(token: str) -> str:
    """Convert a text of this token alone: the digits of a figure, else the token."""
    return _read(token) if token in _SINGLE else token


def _write(found: re.Match[str]) -> str:
    """Keep a figure between spaces: also each of a run that is too long, once its characters are separated."""
    run, text = found[0], found.string
    start, end = found.span()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    if run[0] == "负" and not _HAN.match(before):
        return " -" if not run[1:] and after.isdigit() else f" -{_read(run[1:])} " if run[1:] else run
    if len(run) > 1:
        return f" {_read(run)} " if run[0] != "负" else f"{run[0]} {_read(run[1:])} "
    if run not in _SINGLE and not (run == "两" and after and after in _COUNTED):
        return run
    return run if (not before or before.isspace()) and (not after or after.isspace()) else f" {_read(run)} "


def _spell(run: str) -> str:
    return "".join(str(_DIGITS[char]) for char in run)


def _read(run: str) -> str:
    if len(run) > LONGEST or not any(char in _ALL for char in run):
        return run
    if all(char in _DIGITS for char in run):
        return _spell(run)
    parts = _PARTS.findall(run)
    if "." in parts[0]:
        units = parts[1:]
        if all(unit in _POWERS for unit in units):
            return shift_point(parts[0], sum(_POWERS[unit] for unit in units))
        return run
    return str(_add_up(parts))


def _add_up(parts: list[str]) -> int:
    """Return the number that figures and units add up to; 亿 multiplies all before it, 万 what follows the last 亿."""
    high = low = section = figure = 0
    for part in parts:
        if part not in _POWERS:
            figure = _DIGITS[part] if part in _DIGITS else int(part)
        elif part == "亿":
            high = (high + low + section + figure or 1) * 10**8
            low = section = figure = 0
        elif part == "万":
            low = (low + section + figure or 1) * 10**4
            section = figure = 0
        else:
            section += (figure or 1) * 10 ** _POWERS[part]
            figure = 0
    return high + low + section + figure
