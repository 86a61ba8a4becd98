"""Single rows, read from where they stand, as records.

Promises: an attempt is read without looking through its shards; a row of another schema version is named, not guessed
at.
"""

# ruff: noqa: S608  # SQL here is put together from our own words; what others wrote travels as parameters
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
MOST_SIBLINGS = 500
FALLBACK = ("trajectory_id", "task_id", "passage_id", "document_id", "id")
"""What may name a row of a dataset that is not ours."""


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A row and the dataset it stands in."""

    dataset: str
    row: dict[str, Any]


def read_attempt(database: ReadonlyDatabase, trajectory_id: str) -> ReportExample:
    """A trajectory with its task and, where it was judged, its judgement. Raises InspectError."""
    found = database.query(
        "SELECT t_file, t_row, k_file, k_row, j_file, j_row FROM attempts WHERE trajectory_id = ?",
        [trajectory_id],
        None,
    ).rows
    if not found:
        raise InspectError(f"no trajectory {trajectory_id[:40]} lies here", "the table of attempts lists them")
    t_file, t_row, k_file, k_row, j_file, j_row = found[0]
    if k_row is None:
        raise InspectError(f"the task of trajectory {trajectory_id[:40]} does not lie here", "open the whole run")
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
            f"{shard.file.name}: row {row} is no {model.__name__} of this version", "use the rampforge that wrote it"
        ) from None


def _read_row(shard: Shard, row: int) -> dict[str, Any]:
    """A row by its number. Arrow decodes the row group that holds it in half the time that DuckDB takes for a query."""
    try:
        with shard.open() as opened:
            group = 0
            while row >= (rows := opened.metadata.row_group(group).num_rows):
                row, group = row - rows, group + 1
            found: list[dict[str, Any]] = opened.read_row_group(group).slice(row, 1).to_pylist()
            return found[0]
    except (pa.ArrowException, OSError) as error:
        raise UnreadableError(f"{shard.file.name}: {str(error).splitlines()[0][:160]}", "it may be damaged") from None


def find_rows(database: ReadonlyDatabase, key: str, limit: int = 20) -> list[NamedRow]:
    """Rows with an id, in every dataset; a judgement is found by its trajectory too."""
    rows: list[NamedRow] = []
    for dataset in database.listing.datasets:
        columns = database.columns(dataset)
        names = {find_id_column(dataset, columns)} | ({"trajectory_id"} & set(columns))
        for name in sorted(name for name in names if name):
            sql = f"SELECT * FROM {quote_name(dataset)} WHERE CAST({quote_name(name)} AS VARCHAR) = ? LIMIT {limit}"
            found = [NamedRow(dataset, row) for row in database.query(sql, [key]).as_dicts()]
            rows += [row for row in found if row not in rows]
    return rows


def find_id_column(dataset: str, columns: dict[str, str]) -> str | None:
    """The column that names a row."""
    own = ID_FIELDS.get(dataset)
    candidates = (own, *FALLBACK) if own else FALLBACK
    return next((name for name in candidates if name in columns), None)


def list_attempts_of(database: ReadonlyDatabase, task_id: str) -> list[dict[str, Any]]:
    """All attempts at a task, up to `MOST_SIBLINGS`."""
    # Sorted here: a query that sorts does not use the index.
    sql = f"SELECT * FROM attempts WHERE task_id = ? LIMIT {MOST_SIBLINGS}"
    rows = database.query(sql, [task_id], None).as_dicts()
    return sorted(rows, key=lambda row: (row["hide"], row["policy"], row["attempt"], row["trajectory_id"]))
