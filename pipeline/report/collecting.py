"""Collects what the report shows from the shards of a run.

Promises: memory does not grow with the run (DuckDB aggregates over streamed shards; only chosen examples become
records), the same shards give the same report, and a dataset that is missing leaves its part of the report empty.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from pipeline.charts.bars import Bar, Histogram
from pipeline.report.example_choice import choose_examples
from pipeline.report.leaks import count_leaks, sum_simulated
from pipeline.report.report_data import Acceptance, DatasetSize, ReportData
from schemas.arrow import arrow_schema
from schemas.judgements import Judgement
from schemas.ledger import RunRecord
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

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
    """Read the shards of a run.

    Args:
        record: What run.json says.
        shards: Files of each dataset by name.
        examples: How many trajectories to show in full.
    """
    with duckdb.connect(config=SETTINGS) as db:
        for model in QUERIED:
            _open_dataset(db, model, shards.get(model.dataset, []))
        return ReportData(
            record=record,
            datasets=tuple(_measure(name, files) for name, files in shards.items() if files),
            histograms=tuple(histogram for histogram in _count_histograms(db) if histogram.bars),
            acceptance=count_acceptance(db),
            simulated=sum_simulated(db),
            leaks=count_leaks(db),
            examples=choose_examples(db, examples),
        )


def _open_dataset(db: duckdb.DuckDBPyConnection, model: type[Record], files: Sequence[Path]) -> None:
    """Name the shards as a view; an empty table when there are none."""
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
    scores = "(SELECT unnest(scores, recursive := true), accepted AS kept FROM judgements)"
    tried = f"({_PER_TRAJECTORY})"
    octave = "floor(log2(perplexity))::INT"
    return [
        _histogram(db, "Masks a task", "masks", "trajectories", "masks", "accepted", tried),
        _histogram(db, "Turns", "turns taken", "trajectories", "turns", "accepted", tried),
        _histogram(db, "Why they stopped", "stop reason", "trajectories", "stop_reason", "accepted", tried),
        _histogram(db, "Kinds of mask", "kind", "masks", "kind", None, spans),
        _histogram(db, "Who found the spans", "source", "masks", "source", None, spans),
        _fill_gaps(_histogram(db, "Perplexity", "perplexity, from", "masks", octave, None, spans), _write_power),
        _fill_gaps(
            _histogram(db, "Token F1", "mean over masks, from", "trajectories", _TENTH.format("f1"), "accepted", tried),
            _write_tenth,
        ),
        _fill_gaps(
            _histogram(db, "Similarity of answers", "0 to 1, from", "answers", _TENTH.format("fuzzy"), "kept", scores),
            _write_tenth,
        ),
    ]


def _histogram(
    db: duckdb.DuckDBPyConnection, title: str, axis: str, counted: str, key: str, accepted: str | None, source: str
) -> Histogram:
    """Count by a key. The pieces of SQL are this module's own; no outside text ever enters one."""
    kept = f"count_if({accepted})" if accepted else "NULL"
    rows = db.execute(
        f"SELECT {key} AS k, count(*), {kept} FROM {source} WHERE k IS NOT NULL GROUP BY k ORDER BY k"  # noqa: S608  # above
    ).fetchall()
    return Histogram(title, axis, counted, tuple(Bar(str(k), count, part) for k, count, part in rows))


def _fill_gaps(histogram: Histogram, write: Any) -> Histogram:
    """Bins between the first and the last that hold nothing become bars of height 0; numbers become labels."""
    found = {int(bar.label): bar for bar in histogram.bars}
    empty = Bar("", 0, 0 if any(bar.accepted is not None for bar in histogram.bars) else None)
    bins = range(min(found), max(found) + 1) if found else ()
    bars = tuple(Bar(write(n), found.get(n, empty).count, found.get(n, empty).accepted) for n in bins)
    return Histogram(histogram.title, histogram.axis, histogram.counted, bars)


def _write_power(exponent: int) -> str:
    value = 2.0**exponent
    return f"{value:g}" if value < 10_000 else f"{value / 1000:.0f}k"


def _write_tenth(tenth: int) -> str:
    return f"{tenth / 10:.1f}"


def count_acceptance(db: duckdb.DuckDBPyConnection) -> tuple[Acceptance, ...]:
    """How attempts ended, by hide mode and number of masks, from the views of the judged datasets."""
    rows = db.execute("""
        SELECT t.hide, coalesce(len(j.scores), 0) AS masks, count(*), count_if(j.accepted), count_if(j.answer_seen),
               count_if(j.accepted AND j.answer_seen), count_if(j.from_source_page)
        FROM judgements j JOIN trajectories t USING (trajectory_id)
        GROUP BY GROUPING SETS ((t.hide, len(j.scores)), (t.hide))
        ORDER BY t.hide, masks = 0, masks
    """).fetchall()
    return tuple(Acceptance(*row) for row in rows)
