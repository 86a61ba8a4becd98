"""The audit of a corpus: every measure that needs no reader."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.auditing.attempts import Query, measure_attempts, measure_closed_book
from pipeline.auditing.masks import measure_masks
from pipeline.auditing.reach import measure_reach
from pipeline.auditing.wording import measure_wording
from schemas.audit import Measure
from schemas.difficulties import Difficulty
from schemas.judgements import Judgement
from schemas.reachability import Reachability
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory


def audit_corpus(query: Query, datasets: Collection[str]) -> tuple[Measure, ...]:
    """Take the measures for which there are datasets; `datasets`: names of those that `query` can read."""
    measures: list[Measure] = []
    if MaskTask.dataset in datasets:
        measures += measure_masks(query)
    if Reachability.dataset in datasets:
        measures += measure_reach(query)
    if Difficulty.dataset in datasets:
        measures += measure_closed_book(query)
    if {Trajectory.dataset, Judgement.dataset} <= set(datasets):
        measures += [*measure_attempts(query), *measure_wording(query)]
    return tuple(measures)
