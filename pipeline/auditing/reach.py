"""Measures of the oracle's plays: the ceiling of every agent's yield."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.auditing.attempts import Query
from schemas.audit import Measure

REACHABLE = "reachable"
ABOUT = "tasks that an oracle finished by searching, of all that were made"

_PLAYS = """
    SELECT mask_count, count_if(reached), count(*) FROM reachability
    GROUP BY GROUPING SETS ((mask_count), ()) ORDER BY mask_count NULLS FIRST
"""


def measure_reach(query: Query) -> Iterator[Measure]:
    """Yield the share of tasks that were reached: of all, and by number of masks."""
    for masks, reached, total in query(_PLAYS):
        if total:
            part = "" if masks is None else f"k={masks}"
            yield Measure(name=REACHABLE, part=part, count=reached, of=total, about=ABOUT)
