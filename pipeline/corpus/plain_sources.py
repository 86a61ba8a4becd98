"""Pages from sources whose text is clean already, or nearly: CirrusSearch dumps, JSON lines, tables, folders of files.

Promises: memory stays flat; a row that cannot be read is a page with an `error`, not the end of the source.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.corpus.byte_streams import FETCH_AGAIN, TextStream
from pipeline.corpus.raw_pages import PLAIN, RawPage
from pipeline.errors import SourceError

BATCH_ROWS = 256
PAGE_SUFFIXES = (".txt", ".json")


def read_cirrus(path: Path) -> Iterator[RawPage]:
    """Pages of a CirrusSearch content dump: a line that names the page, then a line that holds it.

    Files that give the page line alone, or the name inside it, are read as well.
    """
    index: Mapping[str, Any] = {}
    ordinal = 0
    for line in _counted_lines(path):
        row = _parse(line)
        if isinstance(row, dict) and "index" in row and "text" not in row:
            index = row["index"] if isinstance(row["index"], dict) else {}
            continue
        yield _cirrus_page(row, index, path.name, ordinal)
        index, ordinal = {}, ordinal + 1
    _require_pages(path.name, ordinal)


def _cirrus_page(row: Any, index: Mapping[str, Any], source: str, ordinal: int) -> RawPage:
    page = _page(row, source, ordinal)
    if page.error:
        return page
    redirects = [item.get("title") for item in row.get("redirect") or () if isinstance(item, dict)]
    return RawPage(
        source=source,
        ordinal=ordinal,
        title=page.title,
        text=page.text,
        model=PLAIN,
        page_id=_number(row.get("page_id"), index.get("_id")),
        revision_id=_number(row.get("version"), row.get("revision_id")),
        namespace=_number(row.get("namespace")) or 0,
        aliases=tuple(title for title in redirects if isinstance(title, str)),
    )


def read_jsonl(path: Path) -> Iterator[RawPage]:
    """One page a line, an object with `title` and `text`; `id` or `page_id`, `revision_id` and `namespace` if known."""
    ordinal = 0
    for line in _counted_lines(path):
        yield _page(_parse(line), path.name, ordinal)
        ordinal += 1
    _require_pages(path.name, ordinal)


def read_parquet(path: Path) -> Iterator[RawPage]:
    """One page a row, with columns as in `read_jsonl`."""
    try:
        with pq.ParquetFile(path) as table:
            known = table.schema_arrow.names
            if not {"title", "text"} <= set(known):
                raise SourceError(f"{path.name} has no columns title and text but {', '.join(known)}", "rename them")
            columns = [name for name in ("id", "page_id", "revision_id", "namespace", "title", "text") if name in known]
            batches = table.iter_batches(batch_size=BATCH_ROWS, columns=columns)
            ordinal = -1
            for ordinal, row in enumerate(row for batch in batches for row in batch.to_pylist()):
                yield _page(row, path.name, ordinal)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name} is no readable Parquet file: {error}", FETCH_AGAIN) from None
    _require_pages(path.name, ordinal + 1)


def read_hub(source: str) -> Iterator[RawPage]:
    """Pages of `hf:DATASET[/CONFIG]`, streamed from the Hugging Face hub (a data set is `owner/name`)."""
    from datasets import load_dataset  # takes seconds to import, and most runs never need it

    parts = source.removeprefix("hf:").split("/")
    name, config = "/".join(parts[:2]), "/".join(parts[2:]) or None
    ordinal = -1
    try:
        for ordinal, row in enumerate(load_dataset(name, config, split="train", streaming=True)):
            yield _page(row, source, ordinal)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        what = f"{source} cannot be read after {ordinal + 1} pages: {reason}"
        raise SourceError(what, "check its name and the network") from None
    _require_pages(source, ordinal + 1)


def read_folder(folder: Path) -> Iterator[RawPage]:
    """One page a file, in order of their names: `TITLE.txt`, or `.json` with `title` and `text`."""
    files = sorted(file for file in folder.iterdir() if file.suffix in PAGE_SUFFIXES)
    for ordinal, file in enumerate(files):
        text = "".join(iter(TextStream(file).read, ""))
        if file.suffix == ".json":
            yield _page(_parse(text), folder.name, ordinal)
        else:
            yield RawPage(folder.name, ordinal, file.stem.replace("_", " "), text, model=PLAIN)
    _require_pages(folder.name, len(files))


def _counted_lines(path: Path) -> Iterator[str]:
    """Lines that are not blank; damage is reported with the number of lines before it."""
    count = 0
    try:
        for line in TextStream(path).lines():
            if line.strip():
                yield line
                count += 1
    except SourceError as error:
        raise SourceError(f"{error.what} (after {count} lines)", error.fix) from None


def _parse(line: str) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return error


def _page(row: Any, source: str, ordinal: int) -> RawPage:
    if isinstance(row, Exception):
        return RawPage(source, ordinal, title="", text="", model=PLAIN, error=f"no JSON: {row}")
    title, text = (row.get("title"), row.get("text")) if isinstance(row, Mapping) else (None, None)
    if not isinstance(title, str) or not isinstance(text, str):
        return RawPage(source, ordinal, title="", text="", model=PLAIN, error="no title and text")
    return RawPage(
        source=source,
        ordinal=ordinal,
        title=title,
        text=text,
        model=PLAIN,
        page_id=_number(row.get("page_id"), row.get("id")),
        revision_id=_number(row.get("revision_id")),
        namespace=_number(row.get("namespace")) or 0,
    )


def _number(*candidates: Any) -> int | None:
    """The first candidate that is a whole number that fits a column, or writes one."""
    for value in candidates:
        if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
            return value
    return None


def _require_pages(source: str, count: int) -> None:
    if not count:
        raise SourceError(f"{source} holds no pages", "check corpus.sources")
