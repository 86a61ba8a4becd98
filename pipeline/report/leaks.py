"""Leaks in the report: hidden passages and near-copies that were shown, simulated documents with a gold answer."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from schemas.judgements import SimulatedEvidence


@dataclass(frozen=True, slots=True)
class LeakRate:
    """Attempts with a hidden source, and how many were shown it."""

    attempts: int
    leaked: int
    """Attempts that were shown hidden content."""
    copied: int
    """Attempts that were shown a near-copy of the source passage."""


def count_leaks(db: duckdb.DuckDBPyConnection) -> LeakRate | None:
    """Count over all judged trajectories; None when nothing was hidden from any."""
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


def sum_simulated(db: duckdb.DuckDBPyConnection) -> SimulatedEvidence | None:
    """Total over all judged trajectories; None when no document shown was simulated."""
    sums = ", ".join(f"sum(simulated.{name})::BIGINT" for name in SimulatedEvidence.model_fields)
    query = f"SELECT {sums} FROM judgements WHERE simulated IS NOT NULL"  # noqa: S608 - names of own fields
    (row,) = db.execute(query).fetchall()
    if row[0] is None:
        return None
    return SimulatedEvidence(**dict(zip(SimulatedEvidence.model_fields, row, strict=True)))


def warn_of_gold(simulated: SimulatedEvidence) -> str:
    """Warning to read before the acceptance is trusted."""
    parts = [
        f"{with_gold:,} of {shown:,} {kind} ({with_gold / shown:.0%})"
        for kind, shown, with_gold in (
            ("useful", simulated.useful, simulated.useful_with_gold),
            ("noisy", simulated.noisy, simulated.noisy_with_gold),
        )
        if shown
    ]
    return f"simulated documents that hand over a gold answer: {', '.join(parts)}"
