"""Exact answers from a passage that repeats the masked text verbatim: the source, when it is not hidden, or a copy.

An answer is the text between the same characters that surround the mask.
"""

from __future__ import annotations

import re

from schemas.tasks import GAP, MASK

LONGEST = 120  # maximum characters of an answer
CONTEXT = 40  # characters compared on each side when only part of the text is repeated
ENOUGH = 24  # minimum characters of both sides together
CLOSE = 12  # masks nearer than this are matched together, because one bounds the other


def restore_masks(masked_text: str, text: str) -> dict[int, tuple[int, int]]:
    """Return the bounds in the text of what the masks hide, by mask; masks that it does not repeat are omitted."""
    pieces = masked_text.split(MASK)
    if whole := _match(pieces, text, whole=True):
        return dict(enumerate(whole))
    restored: dict[int, tuple[int, int]] = {}
    for first, last in _group_masks(pieces):
        before, after = GAP.split(pieces[first])[-1], GAP.split(pieces[last + 1])[0]
        around = [before[-CONTEXT:], *pieces[first + 1 : last + 1], after[:CONTEXT]]
        if len(around[0].strip()) + len(around[-1].strip()) >= ENOUGH and (found := _match(around, text, whole=False)):
            restored |= {first + i: span for i, span in enumerate(found)}
    return restored


def _match(pieces: list[str], text: str, whole: bool) -> list[tuple[int, int]]:
    """Return the stretches between the pieces if the text contains the pieces in order, in one place only."""
    loose = [rf"[^\n]{{1,{LONGEST}}}?".join(map(_write_loosely, GAP.split(piece))) for piece in pieces]
    pattern = re.compile(rf"([^\n]{{1,{LONGEST}}}?)".join(loose))
    matches = [match] if whole and (match := pattern.fullmatch(text)) else []
    if not whole:
        # An empty side is at an end of the masked text, where nothing bounds the answer.
        matches = list(pattern.finditer(text)) if pieces[0].strip() and pieces[-1].strip() else []
    if len(matches) != 1:
        return []
    return [matches[0].span(i + 1) for i in range(len(pieces) - 1)]


def _write_loosely(text: str) -> str:
    return r"\s+".join(map(re.escape, re.split(r"\s+", text)))


def _group_masks(pieces: list[str]) -> list[tuple[int, int]]:
    groups = [(0, 0)]
    for mask in range(1, len(pieces) - 1):
        if len(pieces[mask]) < CLOSE:
            groups[-1] = (groups[-1][0], mask)
        else:
            groups.append((mask, mask))
    return groups
