"""Rows of files, and the format that they are in.

JSON lines, also compressed; a JSON document or list of them; Parquet. Guarantees: constant memory for lines and
Parquet; a row that cannot be read is a RowError and not the end of its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.readers.byte_streams import CHUNK_BYTES, TextStream, decode_head, read_head
from pipeline.errors import SourceError
from pipeline.importing.attempt import ForeignAttempt, RowError
from pipeline.importing.formats.atif import is_atif, read_atif
from pipeline.importing.formats.openresearcher import is_openresearcher, read_openresearcher
from pipeline.importing.formats.openseeker import is_openseeker, read_openseeker
from pipeline.importing.formats.search_r1 import is_search_r1, read_search_r1
from schemas.imports import ImportFormat

UNREADABLE, NO_OBJECT = "unreadable", "no_object"
MOST_CHARS = 1 << 28
"""Characters of a row, and of a document that is read whole."""
BATCH_ROWS = 16
LOOKED_AT = 20
"""Rows among which one must be in a known format."""
FORMATS: dict[
    ImportFormat, tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], ForeignAttempt]]
] = {
    ImportFormat.ATIF: (is_atif, read_atif),
    ImportFormat.OPENSEEKER: (is_openseeker, read_openseeker),
    ImportFormat.OPENRESEARCHER: (is_openresearcher, read_openresearcher),
    ImportFormat.SEARCH_R1: (is_search_r1, read_search_r1),
}
"""How each format is recognised, and read."""


def detect_format(path: Path) -> ImportFormat:
    """Return the format of a file's first rows. Raises SourceError."""
    keys: list[str] = []
    for row in islice(read_rows(path), LOOKED_AT):
        if isinstance(row, dict):
            found = next((name for name, (known, _) in FORMATS.items() if known(row)), None)
            if found:
                return found
            keys = keys or sorted(map(str, row))[:12]
    known = ", ".join(FORMATS)
    raise SourceError(f"{path}: rows of no known format (keys: {', '.join(keys) or 'none'})", f"--as one of {known}")


def read_attempt(row: object, format_: ImportFormat) -> ForeignAttempt:
    """Return the attempt of a row. Raises RowError."""
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, dict):
        raise RowError(NO_OBJECT, f"not an object but {type(row).__name__}")
    return FORMATS[format_][1](row)


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
        raise SourceError(f"{path} is one JSON document of more than {MOST_CHARS:,} characters", "write a row a line")
    parsed = _parse(text)
    if isinstance(parsed, RowError):
        return None
    return parsed


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
