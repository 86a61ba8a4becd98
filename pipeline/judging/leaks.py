"""Leaks: hidden content that was shown to an agent, and near-copies of the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.judging.scoring import read_gold
from pipeline.text.normalisation import holds_tokens
from schemas.judgements import ShownBy, SimulatedEvidence
from schemas.tasks import MaskTask, Span
from schemas.trajectories import HideMode, Trajectory, Usefulness


@dataclass(frozen=True, slots=True)
class Leaks:
    """Leaks in one trajectory."""

    leaked: bool
    """Whether the source passage was shown, or in mode `page` any part of its page, although it was to be hidden."""
    copies: int
    """Near-copies of the source passage that were shown."""


def find_leaks(
    trajectory: Trajectory, task: MaskTask, page_passages: frozenset[str], origins: Mapping[str, ShownBy]
) -> Leaks:
    """Search everything that was shown. A page is identified by its passages' ids, and by its title where an engine has
    its own ids. `origins`: what each passage shown is, by its id.
    """
    shown = {passage.passage_id: passage for turn in trajectory.turns for passage in turn.shown}
    hidden = {task.passage_id} if trajectory.hide is not HideMode.NONE else set()
    if trajectory.hide is HideMode.PAGE:
        hidden |= page_passages | {passage_id for passage_id, p in shown.items() if p.title == task.page_title}
    copies = {passage_id for passage_id, origin in origins.items() if origin is ShownBy.COPY}
    return Leaks(not hidden.isdisjoint(shown), len(copies - hidden))


def count_simulated(
    trajectory: Trajectory, spans: Sequence[Span], fold: Callable[[str], str]
) -> SimulatedEvidence | None:
    """The simulated documents shown, and how many of them hold a gold answer; None when none was simulated."""
    made = {
        hit.passage_id: hit.usefulness
        for turn in trajectory.turns
        for call in turn.calls
        for hit in call.hits
        if hit.usefulness is not None
    }
    shown = {p.passage_id: p for turn in trajectory.turns for p in turn.shown if p.passage_id in made}
    if not shown:
        return None
    golds = [gold.folded for span in spans for gold in read_gold(span)]
    holding = {
        passage_id
        for passage_id, passage in shown.items()
        if any(holds_tokens(fold(text), gold) for text in (passage.title, passage.text) for gold in golds)
    }

    def count(usefulness: Usefulness, ids: set[str]) -> int:
        return sum(made[passage_id] is usefulness for passage_id in ids)

    return SimulatedEvidence(
        useful=count(Usefulness.USEFUL, set(shown)),
        useful_with_gold=count(Usefulness.USEFUL, holding),
        noisy=count(Usefulness.NOISY, set(shown)),
        noisy_with_gold=count(Usefulness.NOISY, holding),
    )
