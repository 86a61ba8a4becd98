"""Measures of attempts, from their signatures: shortcuts, yield, turns, support, queries.

Each is counted by SQL over the datasets `trajectories` and `judgements`, whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from schemas.audit import Measure

Query = Callable[[str], Sequence[tuple[Any, ...]]]
"""Runs one SELECT over views named as the datasets, and returns its rows."""
SUPPORTED = 2
"""Words of a gap's context from which on a cited sentence supports an answer."""
SELECTIVE = 5
"""Passages up to which a term that they hold finds each of them by itself."""

_ATTEMPTS = """
    (SELECT t.hide::VARCHAR AS hide, len(j.signature.masks) AS k, len(t.turns) AS turns, j.accepted, j.answer_seen,
            j.leaked, j.copies_shown, j.signature FROM judgements j JOIN trajectories t USING (trajectory_id))
"""
_ACCEPTED = f"(SELECT * FROM {_ATTEMPTS} WHERE accepted)"  # noqa: S608 - SQL of this module alone
_ANSWERS = f"(SELECT hide, unnest(signature.masks) AS mask FROM {_ACCEPTED})"  # noqa: S608 - the same

_COUNTS: tuple[tuple[str, str, str, str, str, str], ...] = (
    (
        "shortcuts", _ACCEPTED, "hide", "count_if(signature.shortcut)", "count(*)",
        "accepted attempts that were shown the source passage or a near-copy of it",
    ),
    (
        "co_covered", f"(SELECT * FROM {_ACCEPTED} WHERE k > 1)", "hide", "count_if(signature.co_covered)",  # noqa: S608 - the same
        "count(*)",
        "accepted attempts with two or more masks of which one passage shown holds all golds",
    ),
    (
        "selective_clues", _ACCEPTED, "hide", f"count_if(signature.clue_selectivity <= {SELECTIVE})",
        "count(signature.clue_selectivity)",
        f"accepted attempts with a term in a query that {SELECTIVE} or fewer passages of the corpus hold",
    ),
    (
        "accepted", _ATTEMPTS, "hide, k", "count_if(accepted)", "count(*)",
        "attempts with every answer right, of all",
    ),
    (
        "shown", _ATTEMPTS, "hide, k", "count_if(answer_seen)", "count(*)",
        "attempts that were shown every gold answer, of all",
    ),
    (
        "leaks", f"(SELECT * FROM {_ATTEMPTS} WHERE hide <> 'none')", "hide", "count_if(leaked OR copies_shown > 0)",  # noqa: S608 - the same
        "count(*)", "attempts with a hidden source that were shown it or a near-copy of it",
    ),
    (
        "several_turns", _ACCEPTED, "hide", "count_if(turns > 1)", "count(*)",
        "accepted attempts with two or more turns",
    ),
    (
        "chained_turns", _ACCEPTED, "hide", "sum(signature.chained_turns)", "sum(signature.later_turns)",
        "later turns of accepted attempts with a query that names what an earlier turn showed first",
    ),
    (
        "verbatim_queries", _ATTEMPTS, "hide", "sum(signature.verbatim_queries)", "sum(signature.queries)",
        "queries that are a stretch of the masked text, its gaps closed",
    ),
    (
        "queried_before_shown", _ANSWERS, "hide", "count_if(mask.queried_before_shown)", "count(*)",
        "answers of accepted attempts that stood in a query before they were shown",
    ),
    (
        "supported", _ANSWERS, "hide", f"count_if(mask.support >= {SUPPORTED})", "count(mask.support)",
        f"answers of accepted attempts that a cited sentence has beside {SUPPORTED} or more words of the gap's context",
    ),
)  # fmt: skip
"""Name, rows, what they are grouped by, the count, of what, and its description."""


def measure_closed_book(query: Query) -> Iterator[Measure]:
    """Yield the share of right attempts among those without search, where there were any."""
    ((known, closed),) = query("SELECT coalesce(sum(known), 0), coalesce(sum(closed), 0) FROM difficulties")
    if closed:
        about = "attempts without search in which every answer was right"
        yield Measure(name="closed_book_attempts", part="", count=int(known), of=int(closed), about=about)


def measure_attempts(query: Query) -> Iterator[Measure]:
    """Yield the measures of the judged attempts, those of an empty dataset left out."""
    for name, rows, keys, count, of, about in _COUNTS:
        sql = f"SELECT {keys}, {count}, {of} FROM {rows} GROUP BY ALL ORDER BY ALL"  # noqa: S608 - the same
        for *values, some, total in query(sql):
            part = ", ".join(f"{key}={value}" for key, value in zip(keys.split(", "), values, strict=True))
            if total:
                yield Measure(name=name, part=part, count=int(some), of=int(total), about=about)
