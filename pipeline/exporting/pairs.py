"""Preference pairs: an accepted attempt beside a wrong one at the same task.

Guarantees: both had the same part of the task's source withheld; every example is passed on, those without a pair with
the reason as their fault. Memory holds the attempts at one task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle, groupby

from schemas.exports import TrainingExample

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
