"""Preference pairs: an accepted attempt beside a wrong one at the same task.

Guarantees: both had the same part of the task's source withheld; every example is passed on, those without a pair with
the reason as their fault. Memory holds the attempts at one task.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import cycle, groupby

from schemas.exports import TrainingExample
from schemas.ledger import RunRecord

NO_RIVAL = "no_rival"


def pair_attempts(examples: Iterable[TrainingExample]) -> Iterator[TrainingExample]:
    """Give each accepted example a wrong one of its task. `examples`: those of a task follow each other; wrong ones
    have a transcript.
    """
    for _, attempts in groupby(examples, key=lambda example: example.task_id):
        yield from _pair(list(attempts))


def _pair(attempts: list[TrainingExample]) -> Iterator[TrainingExample]:
    rivals = {
        hide: cycle([one for one in attempts if one.hide is hide and not one.accepted and one.transcript])
        for hide in {one.hide for one in attempts}
    }
    for one in attempts:
        if not one.accepted:
            yield one.model_copy(update={"transcript": None})
        elif one.transcript is None:
            yield one
        elif rival := next(rivals[one.hide], None):
            yield one.model_copy(update={"rejected": rival.transcript, "rejected_id": rival.trajectory_id})
        else:
            yield one.model_copy(update={"transcript": None, "fault": NO_RIVAL})


def advise_pairs(record: RunRecord, run: str) -> str:
    """Return how a run without pairs would have some. `run`: its location."""
    agents = record.config.get("agents")
    agents = agents if isinstance(agents, Mapping) else {}
    if record.imported:
        return "import right and wrong attempts at the same tasks"
    if agents.get("policy", "extractive") == "extractive":
        return (
            "attempts of the extractive agents at a task answer alike: pairs need a run with agents.policy=agents (or "
            "policy) and agents.attempts=4"
        )
    if agents.get("attempts", 1) == 1:
        return (
            f"`rampforge resume {shlex.quote(run)} --redo trajectories --set agents.attempts=4` makes several attempts "
            "at a task, which pairs need"
        )
    return "no task has a right and a wrong attempt with the same part of its source withheld: raise agents.attempts"
