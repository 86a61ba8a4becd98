"""Which trajectories are shown in full: accepted and rejected, every hide mode and every mask count, by smallest id."""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import TypeVar

import duckdb

from pipeline.report.report_data import ReportExample
from schemas.judgements import Judgement
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

Row = TypeVar("Row", bound=Record)


def choose_examples(db: duckdb.DuckDBPyConnection, limit: int) -> tuple[ReportExample, ...]:
    """Up to `limit` examples from the views `tasks`, `trajectories` and `judgements`.

    Each (mask count, hide mode) gives its smallest ids in turn; accepted and rejected alternate.
    """
    ranked = db.execute(
        """
        SELECT accepted, trajectory_id FROM (
            SELECT j.accepted, j.trajectory_id, len(j.scores) AS masks, t.hide,
                   row_number() OVER (PARTITION BY j.accepted, masks, t.hide ORDER BY j.trajectory_id) AS place
            FROM judgements j JOIN trajectories t USING (trajectory_id)
        ) WHERE place <= $limit ORDER BY place, masks, hide
        """,
        {"limit": limit},
    ).fetchall()
    accepted = [trajectory for kept, trajectory in ranked if kept]
    rejected = [trajectory for kept, trajectory in ranked if not kept]
    mixed = chain.from_iterable(zip_longest(accepted, rejected))
    chosen = [trajectory for trajectory in mixed if trajectory is not None][:limit]
    trajectories = _read(db, Trajectory, "trajectory_id", chosen)
    judgements = _read(db, Judgement, "trajectory_id", chosen)
    tasks = _read(db, MaskTask, "task_id", [row.task_id for row in trajectories.values()])
    return tuple(
        ReportExample(tasks[trajectories[key].task_id], trajectories[key], judgements[key])
        for key in chosen
        if trajectories[key].task_id in tasks
    )


def _read(db: duckdb.DuckDBPyConnection, model: type[Row], field: str, wanted: list[str]) -> dict[str, Row]:
    """The rows whose field is wanted, by that field."""
    query = f"SELECT * FROM {model.dataset} WHERE {field} IN (SELECT unnest($wanted))"  # noqa: S608  # names of our own models
    cursor = db.execute(query, {"wanted": wanted})
    columns = [column[0] for column in cursor.description]
    rows = (dict(zip(columns, values, strict=True)) for values in cursor.fetchall())
    return {row[field]: model.model_validate(row) for row in rows}
