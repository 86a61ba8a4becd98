"""Order-free masks: neighbours that only a conjunction joins ("the [mask] and [mask] seats"), whose answers may be
exchanged.

They are scored as a set: each answer is compared with the gold that it equals. Order counts after "between" and "from",
and where the sentence says "respectively".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from operator import itemgetter

from schemas.tasks import MOST_MASKS

ANY_MASK = re.compile(r"\[mask(?: \d+)?\]")
"""A mask, in a task, or as a question numbers it."""
JOINED = re.compile(
    r"(?:, [^,.;:()]{1,40})*(?:,? (?:and|or|&|as well as) (?:both )?(?:the |an? )?|, (?:the |an? )?|/|[和与與及或、])"
)
"""Text between two masks of one enumeration; its other items included."""
ORDERED_BEFORE = re.compile(r"(?:\b(?:between|from)(?: the)? |[从從自由])\Z", re.IGNORECASE)
ORDERED_AFTER = re.compile(
    r"[^.!?\n。！？]*?(?:\brespectively\b|\bin (?:that|this) order\b|分别|分別|依次)", re.IGNORECASE
)


def group_masks(question: str, masks: int) -> Iterator[range]:
    """Yield the groups of two or more masks of a question that may be exchanged; none where it has another number."""
    pieces = ANY_MASK.split(question)
    if len(pieces) != masks + 1:
        return
    first = 0
    for last in range(masks):
        if last + 1 < masks and JOINED.fullmatch(pieces[last + 1]):
            continue
        ordered = ORDERED_BEFORE.search(pieces[first][-12:]) or ORDERED_AFTER.match("".join(pieces[last + 1 :]))
        if 1 < last + 1 - first <= MOST_MASKS and not ordered:
            yield range(first, last + 1)
        first = last + 1


def align_answers(
    question: str, answers: Sequence[str | None], equal: Callable[[str, int], bool]
) -> tuple[str | None, ...]:
    """Return the answers with those of order-free masks exchanged where more of them then equal their golds.

    `equal`: whether an answer equals the gold of a mask, by its number.
    """
    aligned = list(answers)
    for group in group_masks(question, len(answers)):
        given = [answers[mask] for mask in group]
        hits = [[answer is not None and equal(answer, mask) for answer in given] for mask in group]
        aligned[group.start : group.stop] = [given[at] for at in _match(hits)]
    return tuple(aligned)


def _match(hits: Sequence[Sequence[bool]]) -> tuple[int, ...]:
    """Return which answer goes to each place, so that most are hits; of the ways to do it, the one nearest to the given
    order, place by place.
    """

    @cache
    def fill(free: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """The hits of the last places with the answers that are free, and their order."""
        place = len(hits) - len(free)
        rests = ((at, *fill(tuple(other for other in free if other != at))) for at in free)
        ways = ((hits[place][at] + found, (at, *order)) for at, found, order in rests)
        return max(ways, key=itemgetter(0), default=(0, ()))

    return fill(tuple(range(len(hits))))[1]
