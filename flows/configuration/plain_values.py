"""Check that the values of a configuration fit JSON and 64 bits.

Guarantees: bounded time for any YAML; the first value that does not fit is reported by its key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

MOST_VALUES = 100_000
"""Maximum number of values, because aliases in YAML can expand exponentially."""
MOST_LEVELS = 100
LEAST, MOST = -(1 << 63), (1 << 63) - 1
SHOWN = 40


class NotPlainError(ValueError):
    """A value that a configuration cannot contain; the message names its key."""


def check_plain(values: Any) -> None:
    """Raise NotPlainError for keys that are not text, numbers beyond 64 bits, cycles and values that JSON lacks."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), values)]
    count = 0
    while waiting:
        place, value = waiting.pop()
        name = " ".join(".".join(place[:5]).split())[:SHOWN] or "config"
        count += 1
        if count > MOST_VALUES:
            raise NotPlainError(f"{name}: more than {MOST_VALUES:,} values: does an anchor contain itself?")
        if len(place) > MOST_LEVELS:
            raise NotPlainError(f"{name}: nested more than {MOST_LEVELS} levels deep: does an anchor contain itself?")
        if isinstance(value, dict | list | tuple):
            waiting.extend(((*place, key), inner) for key, inner in _list_inner(name, value))
        elif fault := _find_fault(value):
            raise NotPlainError(f"{name}: {fault}")


def _list_inner(name: str, value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield from ((str(number), inner) for number, inner in enumerate(value))
        return
    for key, inner in value.items():
        if not isinstance(key, str):
            raise NotPlainError(f"{name}: the key {_show(key)} is not text: quote it")
        if fault := _find_fault(key):
            raise NotPlainError(f"{name}: a key is {fault}")
        yield key, inner


def _find_fault(value: object) -> str:
    """Return the reason why a configuration cannot contain a value; empty if it can."""
    match value:
        case None | bool() | date() | datetime():
            return ""
        case int():
            return "" if LEAST <= value <= MOST else "the number does not fit in 64 bits"
        case float():
            return "" if math.isfinite(value) else f"{value} is not a finite number"
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                return "text with half a character (a lone surrogate)"
            return ""
    return f"{_show(value)} ({type(value).__name__}) is not a value of a configuration"


def _show(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        return "a huge number"
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
