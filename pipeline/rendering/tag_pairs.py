"""Pairs of tags in text, found in linear time: an opening that nothing closes ends the search.

A lazy pattern would look for the end again from every opening.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TagPair:
    """Pair of tags, the first closing after each opening."""

    opening: re.Match[str]
    """The opening tag."""
    inside: str
    """What stands between the tags."""
    end: int
    """Offset after the closing tag."""


def find_pairs(text: str, opening: re.Pattern[str], closing: str, at: int = 0) -> Iterator[TagPair]:
    """Yield the pairs of tags of a text from an offset on, in order; what stands inside one opens none."""
    while (found := opening.search(text, at)) and (end := text.find(closing, found.end())) >= 0:
        at = end + len(closing)
        yield TagPair(found, text[found.end() : end], at)


def drop_pairs(text: str, opening: re.Pattern[str], closing: str) -> str:
    """Return a text without its pairs of tags and what they hold."""
    kept, at = [], 0
    for pair in find_pairs(text, opening, closing):
        kept.append(text[at : pair.opening.start()])
        at = pair.end
    return "".join((*kept, text[at:]))
