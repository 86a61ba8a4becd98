"""What the report says of the search engine's hiding: how often something came through, and how often a near-copy."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb


@dataclass(frozen=True, slots=True)
class LeakRate:
    """Attempts whose source was hidden, and what they were shown all the same."""

    attempts: int
    """Attempts with something hidden."""
    leaked: int
    """Of these, how many were shown what was hidden."""
    copied: int
    """Of these, how many were shown a near-copy of the source passage."""


def count_leaks(db: duckdb.DuckDBPyConnection) -> LeakRate | None:
    """The sums over all judged trajectories; None when nothing was hidden from any."""
    if "leaked" not in {column for column, *_ in db.execute("DESCRIBE judgements").fetchall()}:
        return None  # shards from before it was looked at
    (row,) = db.execute("""
        SELECT count(*), count_if(j.leaked), count_if(j.copies_shown > 0)
        FROM judgements j JOIN trajectories t USING (trajectory_id) WHERE t.hide <> 'none'
    """).fetchall()
    return LeakRate(*row) if row[0] else None


def describe_leaks(rate: LeakRate) -> str:
    """The leak rate, in one sentence."""
    leaked, copied = (f"{number:,} ({number / rate.attempts:.1%})" for number in (rate.leaked, rate.copied))
    shown = f"{leaked} were shown it all the same, and {copied} a near-copy of it"
    return f"of {rate.attempts:,} attempts from which the source was hidden, {shown}"
