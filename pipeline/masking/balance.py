"""Balancing of mask counts: the number of tasks for each count in a shard, and their assignment to passages.

A passage that can hide many spans can also hide one, but not vice versa, so passages with many spans are the scarce
resource: they are assigned to the largest counts first. The counts are as equal as the passages allow: no count could
be raised without lowering one that is no larger.
"""

from __future__ import annotations

from collections.abc import Sequence


def balance_counts(
    capacities: Sequence[int], mask_counts: Sequence[int], limit: int | None, turn: int
) -> dict[int, int]:
    """Return the number of tasks for each mask count, given how many spans each passage can hide.

    `limit`: maximum tasks in total. `turn` selects the counts that get the remainder, so that many small shards do not
    all give it to the same count.
    """
    ordered = sorted(set(mask_counts))
    shift = turn % len(ordered)
    turns = [*ordered[shift:], *ordered[:shift]]
    # free[m]: passages still free among those that can hide at least m spans.
    free = {m: sum(1 for capacity in capacities if capacity >= m) for m in ordered}
    if limit is not None:
        free[ordered[0]] = min(free[ordered[0]], limit)
    counts = dict.fromkeys(ordered, 0)
    while True:
        able = [k for k in turns if all(free[m] > 0 for m in ordered if m <= k)]
        if not able:
            return counts
        chosen = min(able, key=counts.__getitem__)
        counts[chosen] += 1
        for m in ordered:
            if m <= chosen:
                free[m] -= 1


def assign_counts(capacities: Sequence[int], counts: dict[int, int]) -> list[int | None]:
    """Return the mask count of each passage, assigned from the largest, in the given order; None for one left over."""
    assigned: list[int | None] = [None] * len(capacities)
    for k in sorted(counts, reverse=True):
        remaining = counts[k]
        for index, capacity in enumerate(capacities):
            if remaining and assigned[index] is None and capacity >= k:
                assigned[index] = k
                remaining -= 1
    return assigned
