"""Single rows, read by their position, as records.

Guarantees: an attempt is read without a search of its shards; a row of another schema version is an InspectError.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import ValidationError

from pipeline.inspecting.errors import InspectError, UnreadableError
from pipeline.inspecting.readonly_database import ReadonlyDatabase, quote_name
from pipeline.inspecting.shard_listing import Shard
from pipeline.report.report_data import ReportExample
from schemas.documents import Document, Redirect
from schemas.funnel import Reject
from schemas.judgements import Judgement
from schemas.passages import Chunk, Passage
from schemas.record import Record
from schemas.tasks import MaskTask, SpanSet
from schemas.trajectories import Trajectory

Row = TypeVar("Row", bound=Record)

ID_FIELDS = {
    model.dataset: model.id_field
    for model in (Document, Redirect, Chunk, Passage, SpanSet, MaskTask, Trajectory, Judgement, Reject)
}
MAX_ROWS = 20
MAX_SIBLINGS = 500
FALLBACK = ("trajectory_id", "task_id", "passage_id", "document_id", "id")
"""Id columns of other datasets."""


@dataclass(frozen=True, slots=True)
class NamedRow:
    """Row with its dataset."""

    dataset: str
    row: dict[str, Any]


def read_attempt(database: ReadonlyDatabase, trajectory_id: str) -> ReportExample:
    """A trajectory with its task and, if it was judged, its judgement. Raises InspectError."""
    rows = database.query(
        "SELECT t_file, t_row, k_file, k_row, j_file, j_row FROM attempts WHERE trajectory_id = ?",
        [trajectory_id],
        None,
    ).rows
    if not rows:
        raise InspectError(f"no trajectory {trajectory_id[:40]} here", "the table of attempts lists them")
    t_file, t_row, k_file, k_row, j_file, j_row = rows[0]
    if k_row is None:
        raise InspectError(f"the task of trajectory {trajectory_id[:40]} is missing", "open the whole run")
    return ReportExample(
        _read_at(database, MaskTask, k_file, k_row),
        _read_at(database, Trajectory, t_file, t_row),
        _read_at(database, Judgement, j_file, j_row) if j_row is not None else None,
    )


def _read_at(database: ReadonlyDatabase, model: type[Row], file: int, row: int) -> Row:
    shard = database.listing.datasets[model.dataset][file]
    try:
        return model.model_validate(_read_row(shard, row))
    except (ValidationError, IndexError):
        raise InspectError(
            f"{shard.file.name}: row {row} is not a {model.__name__} of this version", "use the rampforge that wrote it"
        ) from None


def _read_row(shard: Shard, row: int) -> dict[str, Any]:
    """A row by its number. Arrow decodes its row group in half the time of a DuckDB query."""
    try:
        with shard.open() as opened:
            group = 0
            while row >= (rows := opened.metadata.row_group(group).num_rows):
                row, group = row - rows, group + 1
            rows_read: list[dict[str, Any]] = opened.read_row_group(group).slice(row, 1).to_pylist()
            return rows_read[0]
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{shard.file.name}: {str(error).splitlines()[0][:160]}", "it may be damaged") from None


def find_rows(database: ReadonlyDatabase, key: str) -> list[NamedRow]:
    """Rows with an id in all datasets, judgements also by their trajectory; up to `MAX_ROWS` of each."""
    rows: list[NamedRow] = []
    for dataset in database.listing.datasets:
        columns = database.columns(dataset)
        names = {find_id_column(dataset, columns)} | ({"trajectory_id"} & set(columns))
        for name in sorted(name for name in names if name):
            sql = f"SELECT * FROM {quote_name(dataset)} WHERE CAST({quote_name(name)} AS VARCHAR) = ? LIMIT {MAX_ROWS}"
            found = [NamedRow(dataset, row) for row in database.query(sql, [key]).as_dicts()]
            rows += [row for row in found if row not in rows]
    return rows


def find_id_column(dataset: str, columns: dict[str, str]) -> str | None:
    """The id column of a dataset."""
    own = ID_FIELDS.get(dataset)
    candidates = (own, *FALLBACK) if own else FALLBACK
    return next((name for name in candidates if name in columns), None)


def list_attempts_of(database: ReadonlyDatabase, task_id: str) -> list[dict[str, Any]]:
    """All attempts at a task, up to `MAX_SIBLINGS`."""
    # Sorted here: a query that sorts does not use the index.
    sql = f"SELECT * FROM attempts WHERE task_id = ? LIMIT {MAX_SIBLINGS}"
    rows = database.query(sql, [task_id], None).as_dicts()
    return sorted(rows, key=lambda row: (row["hide"], row["policy"], row["attempt"], row["trajectory_id"]))
