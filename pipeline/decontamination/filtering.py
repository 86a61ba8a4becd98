"""Drops what overlaps a question that models are evaluated on, as it streams by.

Promises: every task is passed on or a reject with its reason; memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.decontamination.overlap import Overlap, QuestionIndex
from schemas.funnel import Reject
from schemas.tasks import MaskTask

STAGE = "decontamination"


def drop_overlapping(tasks: Iterable[MaskTask], index: QuestionIndex) -> Iterator[MaskTask | Reject]:
    """Each task, or why it is dropped."""
    for task in tasks:
        overlap = index.check_task(task)
        yield task if overlap is None else reject_overlap("task", task.task_id, overlap)


def reject_overlap(unit: str, input_id: str, overlap: Overlap) -> Reject:
    """The row of what is dropped."""
    detail = f"{overlap.question_id}: {overlap.detail}"
    return Reject(stage=STAGE, unit=unit, input_id=input_id, reason=overlap.reason, detail=detail)
