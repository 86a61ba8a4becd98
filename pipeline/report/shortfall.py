"""Shortfall: tasks that were asked for and not made, with what the passages were rejected for.

The totals come from the ledgers of the stages; nothing is read again.
"""

from __future__ import annotations

from collections import Counter

from pipeline.masking.task_stage import OVER_LIMIT
from schemas.config import StageName
from schemas.funnel import NOT_SAMPLED
from schemas.ledger import RunRecord

UNITS = ("passage", "task")


def describe_shortfall(record: RunRecord, tasks: int) -> str:
    """How many of the tasks asked for are missing, why, and what gives more, in one line; empty where none is missing
    or they are not made yet. `tasks`: those made.
    """
    asked = record.asked_tasks
    if asked is None or tasks >= asked or StageName.TASKS not in record.fingerprints:
        return ""
    spans, made = (
        [step for step in record.funnel if step.stage == stage and step.unit in UNITS]
        for stage in (StageName.SPANS, StageName.TASKS)
    )
    reasons: Counter[str] = Counter()
    for step in (*spans, *made):
        reasons.update(step.rejected)
    unread = reasons.pop(NOT_SAMPLED, 0)
    more = "a higher limit examines more" if unread or reasons[OVER_LIMIT] else "more pages give more"
    why = ", ".join(f"{name} {n:,}" for name, n in sorted(reasons.items(), key=lambda one: (-one[1], one[0])) if n)
    examined = sum(step.looked_at for step in spans)
    return (
        f"{tasks:,} of the {asked:,} tasks asked for: {examined:,} of {examined + unread:,} passages were examined"
        f"{f'; rejected: {why}' if why else ''}; {more}"
    )
