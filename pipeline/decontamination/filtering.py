"""Streaming filter of tasks that overlap benchmark questions.

Guarantees: every task is passed on or rejected with a reason; memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.decontamination.overlap import Overlap, QuestionIndex
from schemas.funnel import Reject
from schemas.tasks import MaskTask

STAGE = "decontamination"


def drop_overlapping(tasks: Iterable[MaskTask], index: QuestionIndex) -> Iterator[MaskTask | Reject]:
    """Yield each task, or the reason for dropping it."""
    for task in tasks:
        overlap = index.check_task(task)
        yield task if overlap is None else reject_overlap("task", task.task_id, overlap)


def reject_overlap(unit: str, input_id: str, overlap: Overlap) -> Reject:
    """Return the reject row of a dropped item."""
    detail = f"{overlap.question_id}: {overlap.detail}"
    return Reject(stage=STAGE, unit=unit, input_id=input_id, reason=overlap.reason, detail=detail)
