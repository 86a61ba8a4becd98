"""What the report says of a simulated search engine: how many of its documents handed over a gold answer."""

from __future__ import annotations

import duckdb

from schemas.judgements import SimulatedEvidence


def sum_simulated(db: duckdb.DuckDBPyConnection) -> SimulatedEvidence | None:
    """The sums over all judged trajectories; None when nothing that was shown was simulated."""
    if "simulated" not in {column for column, *_ in db.execute("DESCRIBE judgements").fetchall()}:
        return None  # shards from before there was such an engine
    sums = ", ".join(f"sum(simulated.{name})::BIGINT" for name in SimulatedEvidence.model_fields)
    query = f"SELECT {sums} FROM judgements WHERE simulated IS NOT NULL"  # noqa: S608 - names of our own fields
    (row,) = db.execute(query).fetchall()
    if row[0] is None:
        return None
    return SimulatedEvidence(**dict(zip(SimulatedEvidence.model_fields, row, strict=True)))


def warn_of_gold(simulated: SimulatedEvidence) -> str:
    """One sentence that a user should read before trusting the acceptance."""
    parts = [
        f"{held:,} of {shown:,} {kind} ({held / shown:.0%})"
        for kind, shown, held in (
            ("useful", simulated.useful, simulated.useful_with_gold),
            ("noisy", simulated.noisy, simulated.noisy_with_gold),
        )
        if shown
    ]
    return f"simulated documents that hand over a gold answer: {', '.join(parts)}"
