"""Whether an agent was shown what was to be hidden from it, and near-copies of the source."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.text.near_copies import is_copy
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, Trajectory

NEAR_COPY = 0.5
"""Share of the source's word triples from which on another passage counts as a near-copy of it."""


@dataclass(frozen=True, slots=True)
class Leaks:
    """What came through to one trajectory."""

    leaked: bool
    """The source passage was shown, or in mode `page` any part of its page, though it was to be hidden."""
    copies: int
    """Other passages that were shown and hold at least half of the source's word triples."""


def find_leaks(trajectory: Trajectory, task: MaskTask, page_passages: frozenset[str]) -> Leaks:
    """Look through everything that was shown. A page is known by its passages' ids, and by its title where an engine
    has ids of its own."""
    source = task.fill([span.text for span in task.spans])
    shown = {passage.passage_id: passage for turn in trajectory.turns for passage in turn.shown}
    hidden = {task.passage_id} if trajectory.hide is not HideMode.NONE else set()
    if trajectory.hide is HideMode.PAGE:
        hidden |= page_passages | {passage_id for passage_id, p in shown.items() if p.title == task.title}
    others = [passage for passage_id, passage in shown.items() if passage_id not in hidden | {task.passage_id}]
    return Leaks(not hidden.isdisjoint(shown), sum(is_copy(passage.text, source, NEAR_COPY) for passage in others))
