"""Conversion of traditional to simplified Chinese, word by word, shared by sources, questions and answers.

Guarantees: the output of OpenCC's table t2s, which it reads: phrases first, the longest in a stretch before shorter
ones, then single characters; one character for each character, so that offsets stay valid; linear time, where OpenCC's
own search is quadratic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class _Tables:
    """Tables of OpenCC for t2s."""

    phrases: dict[str, str]
    characters: dict[int, str]
    traditional: re.Pattern[str]
    """Pattern of a character that changes."""
    starts: re.Pattern[str]
    """Pattern of two characters that start a phrase."""
    lengths: tuple[int, ...]
    """Lengths of phrases, the longest first."""


def simplify(text: str) -> str:
    """Convert to simplified characters, keeping the length."""
    if text.isascii():
        return text
    tables = _load_tables()
    if tables.starts.search(text):
        return _replace_phrases(text, tables)
    return text.translate(tables.characters) if tables.traditional.search(text) else text


def _replace_phrases(text: str, tables: _Tables) -> str:
    pieces: list[str] = []
    at = 0
    for start, end in _choose_phrases(text, tables):
        pieces += [text[at:start].translate(tables.characters), tables.phrases[text[start:end]]]
        at = end
    return "".join([*pieces, text[at:].translate(tables.characters)])


def _choose_phrases(text: str, tables: _Tables) -> list[tuple[int, int]]:
    """Return the positions of phrases that do not overlap; among overlapping ones the longest wins, then the first."""
    chosen: list[tuple[int, int]] = []
    group: list[tuple[int, int]] = []
    reach = 0
    for start, end in _find_phrases(text, tables):
        if start >= reach and group:
            chosen += _settle(group)
            group = []
        group.append((start, end))
        reach = max(reach, end)
    return chosen + _settle(group)


def _find_phrases(text: str, tables: _Tables) -> Iterator[tuple[int, int]]:
    """Return every phrase at every position, from left to right."""
    at = 0
    while found := tables.starts.search(text, at):
        at = found.start()
        for length in tables.lengths:
            if text[at : at + length] in tables.phrases:
                yield at, min(at + length, len(text))
        at += 1


def _settle(group: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Choose among phrases that touch in a chain, from left to right."""
    taken: set[int] = set()
    kept = []
    for start, end in sorted(group, key=lambda place: (place[0] - place[1], place[0])):
        if taken.isdisjoint(range(start, end)):
            taken.update(range(start, end))
            kept.append((start, end))
    return sorted(kept)


@cache
def _load_tables() -> _Tables:
    # Loaded at the first text with Chinese: it takes a noticeable part of a second.
    from opencc import OpenCC

    tables = [table for _, _, table in OpenCC("t2s").dict_cache.values()]
    pairs = {key: value.split(" ")[0] for table in tables for key, value in table.items()}
    phrases = {key: value for key, value in pairs.items() if len(key) > 1}
    single = {key: value for key, value in pairs.items() if len(key) == 1}
    characters = {ord(key): single.get(value, value) for key, value in single.items()}
    starts = "|".join(sorted({re.escape(phrase[:2]) for phrase in phrases}))
    traditional = re.compile(f"[{''.join(single)}]")
    return _Tables(
        phrases, characters, traditional, re.compile(starts), tuple(sorted({*map(len, phrases)}, reverse=True))
    )
