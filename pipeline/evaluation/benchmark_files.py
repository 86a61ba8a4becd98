"""Rows of a benchmark's file: JSON, JSON Lines, CSV, TSV or Parquet, gzipped or not.

Guarantees: an unreadable row is a `BrokenRow` with its position, and does not affect the others; an unreadable file is
one SourceError.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import SourceError

HEADER_ROWS = 10
"""Rows in which the header of a table is searched: FreshQA's sheet starts with lines of warnings."""
LISTS = ("data", "questions", "rows", "examples")
"""Keys of an object that may hold its rows."""
LONGEST_CELL = 1 << 24
FORMATS = "JSON, JSON lines, CSV, TSV or Parquet, plain or .gz"


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """Row without a readable object."""

    place: str
    """Position, such as `line 17`."""
    detail: str
    """The fault."""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """Row with its position."""

    place: str
    fields: Mapping[str, Any]


def read_rows(path: Path) -> Iterator[PlacedRow | BrokenRow]:
    """The rows of a file, in order. Raises SourceError for a file that cannot be read."""
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    try:
        if kind == "parquet":
            yield from _read_parquet(path)
            return
        with _open_text(path) as text:
            if kind in ("csv", "tsv"):
                yield from _read_table(path, text, "\t" if kind == "tsv" else ",")
            else:
                yield from _read_json(path, text)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SourceError(f"{path}: cannot be read ({reason})", f"a benchmark is {FORMATS}") from None


def _open_text(path: Path) -> IO[str]:
    raw: Any = gzip.GzipFile(path) if path.name.lower().endswith(".gz") else path.open("rb")
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _read_parquet(path: Path) -> Iterator[PlacedRow]:
    with pq.ParquetFile(path) as file:
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(1000))
        for number, row in enumerate(rows, start=1):
            yield PlacedRow(f"row {number}", row)


def _read_table(path: Path, text: IO[str], delimiter: str) -> Iterator[PlacedRow | BrokenRow]:
    csv.field_size_limit(LONGEST_CELL)
    rows = csv.reader(text, delimiter=delimiter)
    header = next((row for row in itertools.islice(rows, HEADER_ROWS) if "question" in map(_fold_name, row)), None)
    if header is None:
        raise SourceError(f"{path}: no column `question` among its first rows", "give the table a header")
    names = [_fold_name(name) for name in header]
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(names):
            yield BrokenRow(f"line {rows.line_num}", f"{len(row)} cells under {len(names)} columns")
        else:
            yield PlacedRow(f"line {rows.line_num}", dict(zip(names, row, strict=False)))


def _fold_name(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _read_json(path: Path, text: IO[str]) -> Iterator[PlacedRow | BrokenRow]:
    """One array, one object with an array, or one object per line, as the first line shows."""
    first = next((line for line in text if line.strip()), "")
    if _is_whole(first) and not first.lstrip().startswith("["):
        lines = enumerate(itertools.chain([first], text), start=1)
        yield from (_read_line(number, line) for number, line in lines if line.strip())
        return
    try:
        whole = json.loads(first + text.read())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: is not JSON ({error})", f"a benchmark is {FORMATS}") from None
    if isinstance(whole, dict):
        whole = next((whole[key] for key in LISTS if isinstance(whole.get(key), list)), None)
    if not isinstance(whole, list):
        raise SourceError(f"{path}: holds no list of questions", f"a benchmark is {FORMATS}")
    for number, row in enumerate(whole, start=1):
        yield _check_row(f"row {number}", row)


def _is_whole(line: str) -> bool:
    """Whether a line is a row by itself. A broken line counts as one if it looks like an object."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line.lstrip().startswith("{") and len(line.strip()) > 1 and '"' in line
    return not (isinstance(value, dict) and any(isinstance(value.get(key), list) for key in LISTS))


def _read_line(number: int, line: str) -> PlacedRow | BrokenRow:
    try:
        return _check_row(f"line {number}", json.loads(line))
    except (ValueError, RecursionError) as error:
        return BrokenRow(f"line {number}", f"not JSON: {error}")


def _check_row(place: str, row: Any) -> PlacedRow | BrokenRow:
    return PlacedRow(place, row) if isinstance(row, dict) else BrokenRow(place, f"a {type(row).__name__}, no object")
