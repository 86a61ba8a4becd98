"""Templates of coordinates, shown as written: degrees are never recalculated."""

from __future__ import annotations

import re

from pipeline.corpus.wikitext.template_calls import UNSHOWN, TemplateCall

DEGREES = re.compile(r"[-+−]?\d{1,3}(?:\.\d{1,12})?$")
MARKS = "°′″"


def show_coordinates(call: TemplateCall) -> str | None:
    """{{coord|57|18|N|4|27|W}}, {{coord|57.3|-4.5}}: both axes; nothing if only the page's title shows them."""
    if call.first("display").replace(" ", "") in ("title", "t"):
        return UNSHOWN
    args = call.plain()
    ends = [at for at, arg in enumerate(args) if arg in ("N", "S", "E", "W")]
    if len(ends) == 2 and args[ends[0]] in "NS" and args[ends[1]] in "EW":
        axes = [_axis(args[: ends[0]], args[ends[0]]), _axis(args[ends[0] + 1 : ends[1]], args[ends[1]])]
    elif not ends and len(args) > 1:
        axes = [_signed(args[0], "NS"), _signed(args[1], "EW")]
    else:
        return None
    return None if "" in axes or call.first("format") else " ".join(axes)


def _axis(numbers: list[str], letter: str) -> str:
    if not 1 <= len(numbers) <= 3 or not all(DEGREES.match(number) for number in numbers):
        return ""
    return "".join(number + mark for number, mark in zip(numbers, MARKS, strict=False)) + letter


def _signed(number: str, letters: str) -> str:
    if not DEGREES.match(number):
        return ""
    return f"{number.lstrip('-+−')}°{letters[number.startswith(('-', '−'))]}"
