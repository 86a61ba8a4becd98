"""Fields of imported rows: texts, lists of objects, right answers. A value of another type rejects its row by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.importing.errors import RowError

BAD_GOLD, BAD_MESSAGES = "bad_gold", "bad_messages"
_EXACT = 1 << 53
"""Whole numbers from here on are rounded where a row holds them as floating-point numbers."""


def find_text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that holds text; empty for none."""
    found = (row.get(name) for name in names)
    return next((value.strip() for value in found if isinstance(value, str) and value.strip()), "")


def list_objects(value: object, name: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list, of a missing one an empty list. Raises RowError for anything else."""
    listed = [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise RowError(BAD_MESSAGES, f"{name} are not a list of objects")
    return listed


def read_golds(*values: object) -> tuple[str, ...]:
    """Return the right answers of the first of these values with any, one or a list, without blanks and repeats.

    Search-R1's own data have texts alone, since its scorer folds their case; data that others bring into its form have
    numbers too, which become their figures: 1868 and 1868.0 are "1868". Raises RowError for any other value.
    """
    for value in values:
        given = value if isinstance(value, list) else [] if value is None else [value]
        if golds := tuple(dict.fromkeys(filter(None, map(_read_gold, given)))):
            return golds
    return ()


def _read_gold(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and math.isfinite(value):
        if not value.is_integer():
            return repr(value)
        value = int(value) if abs(value) < _EXACT else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowError(BAD_GOLD, f"a right answer is neither text nor an exact number: {value!r}"[:200])
