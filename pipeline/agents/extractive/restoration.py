"""Reading the answers off a passage that repeats the masked text word for word.

That is the source itself when it is not hidden, and otherwise a copy of it. Nothing is guessed here: an answer is what
stands between the very characters that stand around the mask.
"""

from __future__ import annotations

import re

from schemas.tasks import MASK

LONGEST = 120  # characters an answer may have
CONTEXT = 40  # characters compared to each side when only part of the text is repeated
ENOUGH = 24  # characters that both sides must have together
CLOSE = 12  # masks nearer than this are read together, because one bounds the other


def restore_masks(masked_text: str, text: str) -> dict[int, tuple[int, int]]:
    """Where the text says what the masks hide: mask number to start and end; masks it does not repeat are left out."""
    pieces = masked_text.split(MASK)
    if whole := _match(pieces, text, whole=True):
        return dict(enumerate(whole))
    restored: dict[int, tuple[int, int]] = {}
    for first, last in _group_masks(pieces):
        around = [pieces[first][-CONTEXT:], *pieces[first + 1 : last + 1], pieces[last + 1][:CONTEXT]]
        if len(around[0].strip()) + len(around[-1].strip()) >= ENOUGH and (found := _match(around, text, whole=False)):
            restored |= {first + i: span for i, span in enumerate(found)}
    return restored


def _match(pieces: list[str], text: str, whole: bool) -> list[tuple[int, int]]:
    """The stretches between the pieces, when the text holds the pieces in order, and only in one place."""
    loose = [r"\s+".join(map(re.escape, re.split(r"\s+", piece))) for piece in pieces]
    pattern = re.compile(rf"([^\n]{{1,{LONGEST}}}?)".join(loose))
    matches = [match] if whole and (match := pattern.fullmatch(text)) else []
    if not whole:
        # A side that is empty lies at an end of the masked text, where nothing bounds the answer.
        matches = list(pattern.finditer(text)) if pieces[0].strip() and pieces[-1].strip() else []
    if len(matches) != 1:
        return []
    return [matches[0].span(i + 1) for i in range(len(pieces) - 1)]


def _group_masks(pieces: list[str]) -> list[tuple[int, int]]:
    groups = [(0, 0)]
    for mask in range(1, len(pieces) - 1):
        if len(pieces[mask]) < CLOSE:
            groups[-1] = (groups[-1][0], mask)
        else:
            groups.append((mask, mask))
    return groups
