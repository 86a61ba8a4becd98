"""Measures of the oracle's plays: the ceiling of every agent's yield."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pipeline.auditing.attempts import Query
from schemas.audit import Measure

REACHABLE = "reachable"
ABOUT: Mapping[str, str] = {
    REACHABLE: "tasks that an oracle finished by searching, of all that were made",
    "needed": "masks of reached tasks whose answer the same searches no longer show while their evidence is withheld",
    "rivals": "masks of reached tasks with as many clues in a sentence about another answer of their kind",
    "hidden_clues": "masks of reached tasks of which another mask hides a clue of the evidence",
}

_PLAYS = """
    SELECT mask_count, count_if(reached), count(*) FROM reachability
    GROUP BY GROUPING SETS ((mask_count), ()) ORDER BY mask_count NULLS FIRST
"""
_MASKS = """
    SELECT mask_count, count_if(mask.other_passage_id IS NULL), count_if(coalesce(mask.rivals, 0) > 0),
           count_if(mask.hidden_clues > 0), count(*)
    FROM (SELECT mask_count, unnest(masks) AS mask FROM reachability WHERE reached)
    GROUP BY GROUPING SETS ((mask_count), ()) ORDER BY mask_count NULLS FIRST
"""


def measure_reach(query: Query) -> Iterator[Measure]:
    """Yield the share of tasks that were reached, and measures of their masks: of all, and by number of masks."""
    for names, sql in (((REACHABLE,), _PLAYS), (("needed", "rivals", "hidden_clues"), _MASKS)):
        for masks, *counts, total in query(sql):
            part = "" if masks is None else f"k={masks}"
            for name, count in zip(names, counts, strict=True) if total else ():
                yield Measure(name=name, part=part, count=count, of=total, about=ABOUT[name])


def find_ceilings(measures: Iterable[Measure]) -> dict[str, Measure]:
    """The shares of tasks that were reached among some measures, by their part."""
    return {measure.part: measure for measure in measures if measure.name == REACHABLE}
