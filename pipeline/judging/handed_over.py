"""How often a simulated search engine hands over the gold: counted over the documents that an agent was shown.

A simulator that is told the answers (ZeroSearch) writes them into its documents; an agent that copies one from there
has learned nothing of searching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.judging.scoring import read_gold
from pipeline.text.normalisation import holds_tokens
from schemas.judgements import SimulatedEvidence
from schemas.tasks import Span
from schemas.trajectories import Trajectory, Usefulness


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
