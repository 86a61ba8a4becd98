"""Sampling of a shard's passages when the number of tasks is limited."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from heapq import nsmallest

from pipeline.masking.filters import check_passage
from pipeline.masking.span_stage import SpanStage
from schemas.passages import Passage
from schemas.record import content_id
from schemas.tasks import SpanSet

OVERSAMPLING = 1.6
"""Passages examined per requested task. On the sample dump 71% of the passages keep a span at the default bounds, 26%
four."""

USUAL_MASKS = 4
"""Spans up to which a passage with more of them is preferred, unless a task has more masks."""


def count_needed(tasks: int, tasks_per_passage: int = 1) -> int:
    """Return how many passages to examine for `tasks` tasks, as a rule."""
    return math.ceil(OVERSAMPLING * tasks / tasks_per_passage)


def count_spans(stage: SpanStage, passages: Iterable[Passage]) -> dict[str, int]:
    """Return how many spans a stage, opened without its costly sources, would keep in each passage."""
    rows = (row for outcome in stage.run(passages) for row in outcome.rows)
    return {row.passage_id: len(row.spans) for row in rows if isinstance(row, SpanSet)}


def sample_passages(
    passages: Iterable[Passage], quota: int, seed: int, spans: Mapping[str, int] | None = None, most: int = USUAL_MASKS
) -> frozenset[str]:
    """Return the ids of `quota` maskable passages, spread evenly by a hash of the seed and the passage id.

    `spans`: number of spans that each passage can hide for certain; the passages with the most come first, up to
    `most`, since they are scarce.

    The order of the passages does not matter, and a larger quota contains the smaller one.
    """
    able = (passage.passage_id for passage in passages if check_passage(passage) is None)
    counts = spans or {}
    return frozenset(
        nsmallest(quota, able, key=lambda pid: (-min(counts.get(pid, 0), most), content_id("sample", seed, pid)))
    )
