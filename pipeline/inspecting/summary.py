"""Totals of a run or dataset: datasets with their columns, funnel, acceptance, most common reject reasons."""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from dataclasses import dataclass

from pipeline.auditing.reach import find_ceilings, measure_reach
from pipeline.errors import StorageError
from pipeline.inspecting.readonly_database import ReadonlyDatabase
from pipeline.inspecting.shard_listing import BrokenFile
from pipeline.report.collecting import QUERIED, count_acceptance
from pipeline.report.report_data import Acceptance, DatasetSize
from pipeline.storage.run_folder import RunFolder
from schemas.audit import Measure
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord
from schemas.reachability import Reachability

TOP = 12


@dataclass(frozen=True, slots=True)
class RejectCount:
    """Items rejected for one reason in one stage."""

    stage: str
    unit: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals of a run or dataset."""

    path: str
    record: RunRecord | None
    """run.json; None if it is missing or unreadable."""
    datasets: tuple[DatasetSize, ...]
    funnel: tuple[FunnelStep, ...]
    acceptance: tuple[Acceptance, ...]
    ceilings: dict[str, Measure]
    """Shares of the tasks that an oracle finished, by number of masks."""
    rejects: tuple[RejectCount, ...]
    """Most common first."""
    broken: tuple[BrokenFile, ...]


def summarise(database: ReadonlyDatabase) -> Summary:
    """Read the totals."""
    listing = database.listing
    record = find_record(database)
    judged = all(model.dataset in listing.datasets for model in QUERIED)
    with database.cursor() as cursor:
        acceptance = count_acceptance(cursor) if judged else ()
        played = Reachability.dataset in listing.datasets
        ceilings = find_ceilings(measure_reach(lambda sql: cursor.execute(sql).fetchall())) if played else {}
    return Summary(
        path=listing.place.address,
        record=record,
        datasets=tuple(
            DatasetSize(
                name, listing.rows(name), len(shards), sum(shard.file.size for shard in shards), database.columns(name)
            )
            for name, shards in listing.datasets.items()
        ),
        funnel=record.funnel if record else (),
        acceptance=acceptance,
        ceilings=ceilings,
        rejects=_count_rejects(database),
        broken=listing.broken,
    )


def find_record(database: ReadonlyDatabase) -> RunRecord | None:
    """run.json; None if it is missing or of another version."""
    try:
        return RunFolder(database.listing.place.folder).find_record()
    except StorageError:
        return None


def _count_rejects(database: ReadonlyDatabase) -> tuple[RejectCount, ...]:
    columns = database.columns("rejects") if "rejects" in database.listing.datasets else {}
    if not {"stage", "unit", "reason"} <= columns.keys():
        return ()
    sql = f"SELECT stage, unit, reason, count(*) FROM rejects GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3 LIMIT {TOP}"
    return tuple(RejectCount(*row) for row in database.query(sql).rows)
