"""Sampling of a shard's passages when the number of tasks is limited."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import nsmallest

from pipeline.masking.filters import check_passage
from schemas.passages import Passage
from schemas.record import content_id

OVERSAMPLING = 1.2
"""Passages examined per requested task. On the sample dump 93% of the passages can hide a span, 71% four."""


def count_needed(tasks: int, tasks_per_passage: int = 1) -> int:
    """Return how many passages to examine for `tasks` tasks, as a rule."""
    return math.ceil(OVERSAMPLING * tasks / tasks_per_passage)


def sample_passages(passages: Iterable[Passage], quota: int, seed: int) -> frozenset[str]:
    """Return the ids of `quota` maskable passages, spread evenly by a hash of the seed and the passage id.

    The order of the passages does not matter, and a larger quota contains the smaller one.
    """
    able = (passage.passage_id for passage in passages if check_passage(passage.text) is None)
    return frozenset(nsmallest(quota, able, key=lambda passage_id: content_id("sample", seed, passage_id)))
