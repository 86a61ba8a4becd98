"""Files of rows: Parquet or JSON lines, complete or absent, the same bytes for the same rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.files import replace_atomically, temporary_name, wrap_os_errors, write_atomically
from schemas.record import content_id

PLAIN_NAME = re.compile(r"[\w-]{1,80}", re.ASCII)
"""Id that can name a file."""
ROWS_PER_GROUP = 256
"""Rows per row group, which bounds the memory: rows are long."""


class _Sink(Protocol):
    def write(self, rows: list[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...


class TableFile:
    """Writer of one file. It gets its name only when the block ends without error and a row was written."""

    def __init__(self, path: Path, schema: pa.Schema | None, facts: Mapping[str, str]) -> None:
        self.path = path
        self.rows = 0
        self.columns: tuple[str, ...] = tuple(schema.names) if schema is not None else ()
        self._schema = schema.with_metadata(dict(facts)) if schema is not None else None
        self._waiting: list[dict[str, Any]] = []
        self._temporary = temporary_name(path)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.columns = self.columns or tuple(row)
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        with wrap_os_errors(self.path):
            self._sink.write(self._waiting)
        self._waiting.clear()

    def __enter__(self) -> Self:
        with wrap_os_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sink: _Sink = (
                _JsonLines(self._temporary.open("wb"))
                if self._schema is None
                else _Parquet(self._temporary, self._schema)
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._waiting:
                self._flush()
            self._sink.close()
            if kind is None and self.rows:
                with wrap_os_errors(self.path):
                    replace_atomically(self._temporary, self.path)
            elif kind is None:
                self.path.unlink(missing_ok=True)  # of an earlier export
        finally:
            self._temporary.unlink(missing_ok=True)


class SessionFiles:
    """Writer of one file per row, from its `lines`, in a folder that holds no other files."""

    columns: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0

    def append(self, row: dict[str, Any]) -> None:
        """Write a row."""
        name = row["id"] if PLAIN_NAME.fullmatch(row["id"]) else content_id(row["id"])
        lines = (orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in row["lines"])
        with wrap_os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / f"{name}.jsonl", b"".join(lines))
        self.rows += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: each file is complete."""


class _Parquet:
    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, rows: list[dict[str, Any]]) -> None:
        self._file.writelines(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)

    def close(self) -> None:
        self._file.close()
