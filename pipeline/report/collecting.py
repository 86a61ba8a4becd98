"""Collection of the report's data from the shards of a run.

Guarantees: memory does not grow with the run (DuckDB aggregates over streamed shards; only selected examples become
records); the same shards give the same report; a missing dataset leaves its part of the report empty.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow.parquet as pq

from pipeline.auditing.audit import audit_corpus
from pipeline.charts.layout import Bar, Histogram
from pipeline.report.leaks import count_leaks, sum_simulated
from pipeline.report.report_data import Acceptance, DatasetSize, ReportData, ReportExample
from schemas.arrow import arrow_schema
from schemas.judgements import Judgement
from schemas.ledger import RunRecord
from schemas.reachability import Reachability
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

Row = TypeVar("Row", bound=Record)

QUERIED: tuple[type[Record], ...] = (MaskTask, Trajectory, Judgement)
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

_PER_TRAJECTORY = """
    SELECT t.hide, t.stop_reason, len(t.turns) AS turns, len(j.scores) AS masks, j.f1, j.accepted
    FROM judgements j JOIN trajectories t USING (trajectory_id)
"""
_TENTH = "floor({} * 10 + 1e-9)::INT"


def collect_report(record: RunRecord, shards: Mapping[str, Sequence[Path]], examples: int) -> ReportData:
    """Read the shards of a run, given by dataset; `examples`: number of trajectories to show in full."""
    with duckdb.connect(config=SETTINGS) as db:
        models: tuple[type[Record], ...] = (*QUERIED, Reachability)
        for model in models:
            _open_dataset(db, model, shards.get(model.dataset, []))
        return ReportData(
            record=record,
            datasets=tuple(_measure(name, files) for name, files in shards.items() if files),
            histograms=tuple(histogram for histogram in _count_histograms(db) if histogram.bars),
            acceptance=count_acceptance(db),
            audit=audit_corpus(
                lambda sql: db.execute(sql).fetchall(), [name for name, files in shards.items() if files]
            ),
            simulated=sum_simulated(db),
            leaks=count_leaks(db),
            examples=choose_examples(db, examples),
        )


def _open_dataset(db: duckdb.DuckDBPyConnection, model: type[Record], files: Sequence[Path]) -> None:
    """Open the shards as a view; an empty table when there are none."""
    if files:
        names = [glob.escape(str(path)) for path in files]  # DuckDB takes every path for a pattern
        db.read_parquet(names, hive_partitioning=False).create_view(model.dataset)
    else:
        db.register(model.dataset, arrow_schema(model).empty_table())


def _measure(name: str, files: Sequence[Path]) -> DatasetSize:
    rows = sum(pq.read_metadata(path).num_rows for path in files)
    return DatasetSize(name, rows, len(files), sum(path.stat().st_size for path in files))


def _count_histograms(db: duckdb.DuckDBPyConnection) -> list[Histogram]:
    spans = "(SELECT unnest(spans, recursive := true) FROM tasks)"
    scores = "(SELECT unnest(scores, recursive := true), accepted FROM judgements)"
    attempts = f"({_PER_TRAJECTORY})"
    return [
        _histogram(db, "Masks a task", "masks", "trajectories", "masks", "accepted", attempts),
        _histogram(db, "Turns", "turns taken", "trajectories", "turns", "accepted", attempts),
        _histogram(db, "Why they stopped", "stop reason", "trajectories", "stop_reason", "accepted", attempts),
        _histogram(db, "Kinds of mask", "kind", "masks", "kind", None, spans),
        _histogram(db, "Searches of the oracle", "queries sent", "tasks", "searches", "reached", "reachability"),
        _histogram(db, "Who found the spans", "source", "masks", "source", None, spans),
        _fill_gaps(
            _histogram(db, "Difficulty", "needs a search, from", "masks", _TENTH.format("difficulty"), None, spans),
            _write_tenth,
        ),
        _fill_gaps(
            _histogram(
                db, "Token F1", "mean over masks, from", "trajectories", _TENTH.format("f1"), "accepted", attempts
            ),
            _write_tenth,
        ),
        _fill_gaps(
            _histogram(
                db, "Similarity of answers", "0 to 1, from", "answers", _TENTH.format("fuzzy"), "accepted", scores
            ),
            _write_tenth,
        ),
    ]


def _histogram(
    db: duckdb.DuckDBPyConnection, title: str, axis: str, counted: str, key: str, accepted: str | None, source: str
) -> Histogram:
    """Count by a key. All SQL is this module's own; no outside text enters it."""
    part = f"count_if({accepted})" if accepted else "NULL"
    rows = db.execute(
        f"SELECT {key} AS k, count(*), {part} FROM {source} WHERE k IS NOT NULL GROUP BY k ORDER BY k"  # noqa: S608  # above
    ).fetchall()
    return Histogram(title, axis, counted, tuple(Bar(str(k), count, part) for k, count, part in rows))


def _fill_gaps(histogram: Histogram, write: Callable[[int], str]) -> Histogram:
    """Add the empty bins between the first and the last, and turn numbers into labels."""
    by_bin = {int(bar.label): bar for bar in histogram.bars}
    empty = Bar("", 0, 0 if any(bar.accepted is not None for bar in histogram.bars) else None)
    bins = range(min(by_bin), max(by_bin) + 1) if by_bin else ()
    return replace(histogram, bars=tuple(replace(by_bin.get(n, empty), label=write(n)) for n in bins))


def _write_tenth(tenth: int) -> str:
    return f"{tenth / 10:.1f}"


def count_acceptance(db: duckdb.DuckDBPyConnection) -> tuple[Acceptance, ...]:
    """Outcomes of attempts by hide mode and number of masks, from the views `trajectories` and `judgements`."""
    rows = db.execute("""
        SELECT t.hide, coalesce(len(j.scores), 0) AS masks, count(*), count_if(j.accepted), count_if(j.answer_seen),
               count_if(j.accepted AND j.answer_seen), count_if(j.from_source_page)
        FROM judgements j JOIN trajectories t USING (trajectory_id)
        GROUP BY GROUPING SETS ((t.hide, len(j.scores)), (t.hide))
        ORDER BY t.hide, masks = 0, masks
    """).fetchall()
    return tuple(Acceptance(*row) for row in rows)


def choose_examples(db: duckdb.DuckDBPyConnection, limit: int) -> tuple[ReportExample, ...]:
    """Up to `limit` examples from the views `tasks`, `trajectories` and `judgements`.

    Accepted and rejected ones alternate; each mask count and hide mode contributes its smallest ids in turn.
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
    accepted = [trajectory for passed, trajectory in ranked if passed]
    rejected = [trajectory for passed, trajectory in ranked if not passed]
    mixed = chain.from_iterable(zip_longest(accepted, rejected))
    selected = [trajectory for trajectory in mixed if trajectory is not None][:limit]
    trajectories = _read(db, Trajectory, "trajectory_id", selected)
    judgements = _read(db, Judgement, "trajectory_id", selected)
    tasks = _read(db, MaskTask, "task_id", [row.task_id for row in trajectories.values()])
    return tuple(
        ReportExample(tasks[trajectories[key].task_id], trajectories[key], judgements[key])
        for key in selected
        if trajectories[key].task_id in tasks
    )


def _read(db: duckdb.DuckDBPyConnection, model: type[Row], field: str, values: list[str]) -> dict[str, Row]:
    """The rows with one of some values of a field, by that value."""
    query = f"SELECT * FROM {model.dataset} WHERE {field} IN (SELECT unnest($values))"  # noqa: S608  # names of own models
    cursor = db.execute(query, {"values": values})
    columns = [column[0] for column in cursor.description]
    rows = (dict(zip(columns, row, strict=True)) for row in cursor.fetchall())
    return {row[field]: model.model_validate(row) for row in rows}
