"""Readers of sources with clean or nearly clean text: CirrusSearch dumps, JSON lines, tables.

Guarantees: constant memory; an unreadable row is a page with an `error`, not the end of the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.readers.byte_streams import CHUNK_BYTES, FETCH_AGAIN, TextStream
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.readers.rows import FIELDS, TEXTS, TITLES, find_number, make_page, parse_row
from pipeline.errors import SourceError

BATCH_ROWS, BATCH_BYTES = 256, 1 << 25
"""Rows of a table read at once: fewer where they are long."""
LINE_CHARS = 1 << 20
"""What a line may hold beside the text of its page, which takes up to six characters (`\\u1234`) for one."""


def read_cirrus(path: Path, limit: int) -> Iterator[RawPage]:
    """Yield the pages of a CirrusSearch content dump: a line that names the page, then a line with its content.

    Files with content lines only, or with the name inside them, are supported too.
    """
    index: Mapping[str, Any] = {}
    ordinal = 0
    for line in read_lines(path, limit):
        row = parse_row(line)
        if isinstance(row, dict) and "index" in row and "text" not in row:
            index = row["index"] if isinstance(row["index"], dict) else {}
            continue
        yield _cirrus_page(row, index, path.name, ordinal, limit)
        index, ordinal = {}, ordinal + 1


def _cirrus_page(row: Any, index: Mapping[str, Any], source: str, ordinal: int, limit: int) -> RawPage:
    page = make_page(row, source, ordinal, limit)
    if page.error:
        return page
    redirects = row.get("redirect")
    titles = [item.get("title") for item in redirects if isinstance(item, dict)] if isinstance(redirects, list) else []
    return replace(
        page,
        page_id=find_number({**index, **row}, ("page_id", "_id")),
        revision_id=find_number(row, ("version", "revision_id")),
        aliases=tuple(title for title in titles if isinstance(title, str)),
        whole=True,
    )


def read_jsonl(path: Path, limit: int) -> Iterator[RawPage]:
    """Return one page per line: an object in one of the layouts of `rows`."""
    lines = enumerate(read_lines(path, limit))
    return (make_page(parse_row(line), path.name, ordinal, limit) for ordinal, line in lines)


def read_parquet(path: Path, limit: int) -> Iterator[RawPage]:
    """Yield one page per row, with columns as in `read_jsonl`."""
    ordinal = 0
    try:
        with pq.ParquetFile(path, buffer_size=CHUNK_BYTES) as table:
            known = table.schema_arrow.names
            columns = [name for name in FIELDS if name in known]
            if not ({*TEXTS} & {*columns} and {*TITLES, "contents"} & {*columns}):
                raise SourceError(f"{path} has no columns title and text, but {', '.join(known)}", "rename them")
            for batch in _read_batches(table, columns):
                for row in _list_rows(batch):
                    yield make_page(row, path.name, ordinal, limit)
                    ordinal += 1
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        what = f"{path} is not a readable Parquet file: {' '.join(str(error).split())} (after {ordinal} rows)"
        raise SourceError(what, FETCH_AGAIN) from None


def _read_batches(table: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    for number in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(number)
        parts = (group.column(place) for place in range(group.num_columns))
        size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
        rows = BATCH_BYTES * group.num_rows // max(size, 1)
        yield from table.iter_batches(max(1, min(rows, BATCH_ROWS)), row_groups=[number], columns=columns)


def _list_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:  # before the first row
        arrays = [array.cast(pa.binary()) if pa.types.is_string(array.type) else array for array in batch.columns]
        yield from pa.RecordBatch.from_arrays(arrays, batch.schema.names).to_pylist()


def read_hub(source: str, limit: int) -> Iterator[RawPage]:
    """Yield the pages of `hf:DATASET[/CONFIG]`, streamed from the Hugging Face hub (a data set is `owner/name`)."""
    from datasets import load_dataset  # takes seconds to import, and most runs do not need it

    parts = source.removeprefix("hf:").split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    ordinal = -1
    try:
        for ordinal, row in enumerate(load_dataset(name, config, split="train", streaming=True)):
            yield make_page(row, source, ordinal, limit)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        what = f"{source} is not readable after {ordinal + 1} pages: {reason}"
        raise SourceError(what, "check its name and the network") from None


def read_lines(path: Path, limit: int) -> Iterator[str | None]:
    """Yield lines that are not blank, None for one too long to contain a page of `limit` characters.

    Damage is reported with the number of lines before it.
    """
    count = 0
    try:
        for line in TextStream(path).lines(line_limit(limit)):
            if line is None or line.strip():
                yield line
                count += 1
    except SourceError as error:
        raise SourceError(f"{error.what} (after {count} lines)", error.fix) from None


def line_limit(limit: int) -> int:
    """Return the maximum characters of JSON for a page of `limit` characters."""
    return 6 * limit + LINE_CHARS
