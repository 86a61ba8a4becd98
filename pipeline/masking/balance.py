"""How many tasks of each mask count a shard makes, and which passage makes which.

A passage that can hide four spans can also hide one, never the other way round, so passages with many spans are the
scarce good: they are given to the largest counts first. The counts are as equal as the passages allow: no count could
be raised without lowering one that is no larger.
"""

from __future__ import annotations

from collections.abc import Sequence


def balance_counts(
    capacities: Sequence[int], mask_counts: Sequence[int], limit: int | None, turn: int
) -> dict[int, int]:
    """Number of tasks for each mask count, given how many spans each passage can hide.

    `limit`: the most tasks in all. `turn` decides who gets the odd ones, so that many small shards do not all give them
    to the same count.
    """
    wanted = sorted(set(mask_counts))
    shift = turn % len(wanted)
    turns = [*wanted[shift:], *wanted[:shift]]
    # free[m]: passages still free among those that can hide at least m spans.
    free = {m: sum(1 for capacity in capacities if capacity >= m) for m in wanted}
    if limit is not None:
        free[wanted[0]] = min(free[wanted[0]], limit)
    counts = dict.fromkeys(wanted, 0)
    while True:
        able = [k for k in turns if all(free[m] > 0 for m in wanted if m <= k)]
        if not able:
            return counts
        chosen = min(able, key=counts.__getitem__)
        counts[chosen] += 1
        for m in wanted:
            if m <= chosen:
                free[m] -= 1


def assign_counts(capacities: Sequence[int], counts: dict[int, int]) -> list[int | None]:
    """A mask count for each passage, largest counts first, passages in the order given; None for one left over."""
    assigned: list[int | None] = [None] * len(capacities)
    for k in sorted(counts, reverse=True):
        owed = counts[k]
        for index, capacity in enumerate(capacities):
            if owed and assigned[index] is None and capacity >= k:
                assigned[index] = k
                owed -= 1
    return assigned
