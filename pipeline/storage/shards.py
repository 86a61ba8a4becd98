"""Parquet shards: complete or absent, readable by every Parquet reader, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pipeline.errors import StorageError
from pipeline.storage.files import replace_atomically, temporary_name, wrap_os_errors
from pipeline.storage.hashing import hash_file
from pipeline.storage.ledger_files import advise_repair
from pipeline.storage.older_forms import advise_redo, describe_older
from schemas.arrow import arrow_schema
from schemas.ledger import ShardFile
from schemas.record import Record

Row = TypeVar("Row", bound=Record)

DAMAGE = ("ArrowInvalid", "ArrowSerializationError", "IOException", "InvalidInputException", "SerializationException")
"""Names of PyArrow's and DuckDB's errors for a damaged file, so that DuckDB need not be imported."""
ROWS_PER_GROUP = 2_000
"""Rows buffered and written as one row group: bounds the writer's memory, keeps readers' statistics useful."""


class ShardWriter:
    """A writer of one file, which appears at `close`; without that, nothing is left."""

    def __init__(self, folder: Path, name: str, model: type[Record], provenance: Mapping[str, str]) -> None:
        self.path = folder / name
        schema = arrow_schema(model)
        metadata = {f"rampforge.{key}": value for key, value in sorted(provenance.items())}
        self._schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
        self._model = model
        self._rows: list[dict[str, Any]] = []
        self._count = 0
        self._temporary = temporary_name(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._temporary, self._schema, compression="zstd")

    def append(self, row: dict[str, Any]) -> None:
        """Add a row of plain values."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()

    def close(self) -> ShardFile:
        """Finish the file and return its record."""
        if self._rows:
            self._flush()
        self._writer.close()
        size, digest = self._temporary.stat().st_size, hash_file(self._temporary)
        replace_atomically(self._temporary, self.path)
        return ShardFile(dataset=self._model.dataset, name=self.path.name, rows=self._count, bytes=size, sha256=digest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer.is_open:
            with suppress(OSError):  # the disk may be full: the first error is the one to raise
                self._writer.close()
        self._temporary.unlink(missing_ok=True)


@contextmanager
def reading_boundary(path: Path, run: str | Path | None = None) -> Iterator[None]:
    """Raise StorageError, with the path and the command that repairs it, for a damaged Parquet file.

    `run`: the run of the path; by default the folder of the dataset's folder.
    """
    try:
        yield
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        damaged = type(error).__name__ in DAMAGE or (isinstance(error, OSError) and error.errno is None)
        if not (missing or damaged):
            raise
        what = "missing" if missing else f"damaged: {str(error).splitlines()[0][:160]}"
        raise StorageError(f"{path}: {what}", advise_repair(run or path.parent.parent)) from error


def read_rows(path: Path, model: type[Row]) -> Iterator[Row]:
    """The rows of a shard as records, a batch at a time. Raises StorageError for a shard that is missing, damaged or of
    another schema version."""
    with wrap_os_errors(path), reading_boundary(path), pq.ParquetFile(path) as file:
        check_version(path, file.schema_arrow, model)
        try:
            for batch in file.iter_batches(ROWS_PER_GROUP):
                for row in batch.to_pylist():
                    yield model.model_validate(row)
        except ValidationError as error:
            places = (fault["loc"] for fault in error.errors() if fault["type"] == "missing")
            missing = dict.fromkeys(".".join(part for part in place if isinstance(part, str)) for place in places)
            if not missing:
                raise
            what = f"{path}: {describe_older(model.dataset, missing)}"
            raise StorageError(what, advise_redo(path.parent.parent, file.schema_arrow)) from None


def check_version(path: Path, schema: pa.Schema, model: type[Record]) -> None:
    """Raise StorageError unless the shard holds the model's dataset, in the model's own schema version."""
    metadata = schema.metadata or {}
    dataset, found = (metadata.get(b"rampforge." + key, b"none").decode() for key in (b"dataset", b"schema_version"))
    if (dataset, found) != (model.dataset, str(model.version)):
        raise StorageError(
            f"{path}: holds {dataset} of schema version {found}; this needs {model.dataset} of version {model.version}",
            advise_redo(path.parent.parent, schema),
        )
