"""Attempts that match a filter as a streamed file: CSV, JSON Lines or Parquet.

Guarantees: memory does not grow with the number of rows; CSV cells that a spreadsheet would evaluate as a formula are
quoted as text.
"""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inspecting.attempt_filter import AttemptFilter
from pipeline.inspecting.attempt_pages import narrow
from pipeline.inspecting.readonly_database import ReadonlyDatabase
from pipeline.inspecting.row_query import PLACES

BATCH_ROWS = 2_000
SECONDS = 3600.0
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class FileFormat(StrEnum):
    """File format. CSV has the columns of the table; the others have whole trajectories."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


def write_attempts(database: ReadonlyDatabase, filters: AttemptFilter, form: FileFormat) -> Iterator[bytes]:
    """The file of attempts, in pieces."""
    condition, values = narrow(database, filters)
    if form is FileFormat.CSV:
        sql = f"SELECT * EXCLUDE ({', '.join(sorted(PLACES))}) FROM attempts a WHERE {condition}"
    else:
        matching = f"SELECT a.trajectory_id FROM attempts a WHERE {condition}"
        sql = f"SELECT * FROM trajectories WHERE trajectory_id IN ({matching})"
    with database.cursor(SECONDS) as cursor:
        reader = cursor.sql(sql, params=values).to_arrow_reader(BATCH_ROWS)
        yield from WRITERS[form](reader)


def _write_csv(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    yield _csv_lines([reader.schema.names])
    for batch in reader:
        yield _csv_lines([[_guard_cell(value) for value in row.values()] for row in batch.to_pylist()])


def _csv_lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _guard_cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _write_jsonl(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    for batch in reader:
        lines = (json.dumps(row, ensure_ascii=False, default=str) for row in batch.to_pylist())
        yield "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


class _Buffer(io.RawIOBase):
    """Append-only file whose content is taken out as it is written."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._length

    def take(self) -> bytes:
        """The bytes written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _write_parquet(reader: pa.RecordBatchReader) -> Iterator[bytes]:
    buffer = _Buffer()
    with pq.ParquetWriter(buffer, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)
            yield buffer.take()
    yield buffer.take()


WRITERS: dict[FileFormat, Callable[[pa.RecordBatchReader], Iterator[bytes]]] = {
    FileFormat.CSV: _write_csv,
    FileFormat.JSONL: _write_jsonl,
    FileFormat.PARQUET: _write_parquet,
}
