"""Rows of files, and the format that they are in.

JSON lines, also compressed; a JSON document or list of them; Parquet. Guarantees: constant memory for lines and
Parquet; a row that cannot be read is a RowError and not the end of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.readers.byte_streams import CHUNK_BYTES, TextStream, decode_head, read_head
from pipeline.errors import SourceError
from pipeline.importing.attempt import ForeignAttempt
from pipeline.importing.errors import RowError
from pipeline.importing.formats.atif import is_atif, read_atif
from pipeline.importing.formats.openresearcher import is_openresearcher, read_openresearcher
from pipeline.importing.formats.openseeker import is_openseeker, read_openseeker
from pipeline.importing.formats.search_r1 import is_search_r1, read_search_r1
from schemas.imports import ImportFormat

UNREADABLE, NO_OBJECT, OTHER_FORMAT, NO_GOLD = "unreadable", "no_object", "other_format", "no_gold"
MOST_CHARS = 1 << 28
"""Characters of a row, and of a document that is read whole."""
BATCH_ROWS = 16
LOOKED_AT = 20
"""Rows among which one must be in a known format."""


@dataclass(frozen=True, slots=True)
class RowFormat:
    """Reader of the rows of one format."""

    recognise: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], ForeignAttempt]
    marks: str
    """What its rows are recognised by."""


FORMATS = {
    ImportFormat.ATIF: RowFormat(is_atif, read_atif, "a list of steps, and a schema_version of ATIF"),
    ImportFormat.OPENSEEKER: RowFormat(is_openseeker, read_openseeker, "question, answer and trajectory"),
    ImportFormat.OPENRESEARCHER: RowFormat(is_openresearcher, read_openresearcher, "question, answer and messages"),
    ImportFormat.SEARCH_R1: RowFormat(is_search_r1, read_search_r1, "question, and golden_answers or reward_model"),
}


def detect_format(path: Path) -> ImportFormat:
    """Return the format of a file's first rows. Raises SourceError."""
    keys: list[str] = []
    for row in islice(read_rows(path), LOOKED_AT):
        if isinstance(row, dict):
            if found := _recognise(row):
                return found
            keys = keys or _list_keys(row)
    known = ", ".join(FORMATS)
    raise SourceError(f"{path}: rows of no known format (keys: {', '.join(keys) or 'none'})", f"--as one of {known}")


def _recognise(row: Mapping[str, Any]) -> ImportFormat | None:
    return next((name for name, format_ in FORMATS.items() if format_.recognise(row)), None)


def _list_keys(row: Mapping[str, Any]) -> list[str]:
    return [key[:40] for key in sorted(map(str, row))[:12]]


def read_attempt(row: object, format_: ImportFormat) -> ForeignAttempt:
    """Return the attempt of a row. Raises RowError."""
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, dict):
        raise RowError(NO_OBJECT, f"not an object but {type(row).__name__}")
    given = FORMATS[format_]
    if given.recognise(row):
        return _read_judgeable(row, given)
    if other := _recognise(row):
        raise RowError(OTHER_FORMAT, f"a row of {other}, where {format_} is read: import it by itself, --as {other}")
    try:
        return _read_judgeable(row, given)
    except RowError as error:
        keys = ", ".join(_list_keys(row)) or "none"
        raise RowError(OTHER_FORMAT, f"{format_} has {given.marks}, the row {keys}: {error.detail}") from None


def _read_judgeable(row: Mapping[str, Any], given: RowFormat) -> ForeignAttempt:
    attempt = given.read(row)
    if not attempt.golds and attempt.facts is None:
        raise RowError(NO_GOLD, "the row has no right answer to judge by")
    return attempt


def read_rows(path: Path) -> Iterator[Any]:
    """Yield the rows of a file, or a RowError for one that cannot be read. Raises SourceError."""
    head = read_head(path)
    if head[:4] == b"PAR1":
        yield from _read_parquet(path)
        return
    start = decode_head(head).lstrip()
    if not start.startswith(("{", "[")):
        raise SourceError(f"{path} is neither JSON nor Parquet", "name a file of rows: .jsonl, .json or .parquet")
    whole = _read_document(path, start)
    if whole is None:
        for line in TextStream(path).lines(MOST_CHARS):
            if line is None or line.strip():
                yield _parse(line)
    else:
        yield from whole if isinstance(whole, list) else [whole]


def _read_document(path: Path, start: str) -> Any:
    """Return the content of a file that is one JSON document; None for lines."""
    first = start.partition("\n")[0]
    if start.startswith("{") and "\n" in start and first.rstrip().endswith("}"):
        return None
    lines = TextStream(path).lines(MOST_CHARS)
    if start.startswith("{") and isinstance(_parse(next(lines, None)), dict):
        return None
    text = TextStream(path).start(MOST_CHARS + 1)
    if len(text) > MOST_CHARS:
        if _holds_rows(path, start):
            return None
        raise SourceError(f"{path} is one JSON document of more than {MOST_CHARS:,} characters", "write a row a line")
    parsed = _parse(text)
    if isinstance(parsed, RowError):
        return None
    return parsed


def _holds_rows(path: Path, start: str) -> bool:
    """Whether objects stand alone on the first lines after one that is damaged. In a list that is laid out over lines,
    the last may."""
    lines = islice(TextStream(path).lines(MOST_CHARS), 1, LOOKED_AT)
    found = sum(line is not None and isinstance(_parse(line), dict) for line in lines)
    return found >= (2 if start.startswith("[") else 1)


def _parse(line: str | None) -> Any:
    if line is None:
        return RowError(UNREADABLE, "a line too long to be read")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return RowError(UNREADABLE, f"not JSON: {error}")


def _read_parquet(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path, buffer_size=CHUNK_BYTES) as table:
            for batch in table.iter_batches(BATCH_ROWS):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise SourceError(f"{path} is not a readable Parquet file: {' '.join(str(error).split())}", "") from None


def serialise_row(row: object) -> str:
    """Return a row as JSON, the same text for the same row. Raises RowError."""
    try:
        return orjson.dumps(row, default=str).decode()
    except orjson.JSONEncodeError as error:  # too deep, or a number that JSON does not have
        raise RowError(UNREADABLE, str(error)) from None
