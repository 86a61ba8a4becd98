"""Reader of files that contain one page each, in a folder or named one by one.

`TITLE.txt` and `TITLE.md` contain the page's text; a `.json` file an object in one of the layouts of `rows`.
Guarantees: constant memory for any file; a file that is not a page is a page with an `error`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pipeline.corpus.readers.byte_streams import TextStream
from pipeline.corpus.readers.formats import OBJECT_SUFFIX, TEXT_SUFFIXES, recognise, split_name
from pipeline.corpus.readers.plain import line_limit
from pipeline.corpus.readers.raw_page import PLAIN, UNKNOWN_FORMAT, RawPage
from pipeline.corpus.readers.rows import broken_page, make_page, parse_row
from schemas.config import SourceFormat

PAGE_SUFFIXES = (*TEXT_SUFFIXES, OBJECT_SUFFIX)


def read_page_files(path: Path, format_: SourceFormat, limit: int) -> Iterator[RawPage]:
    """Yield the page of a file, or the pages of a folder's files, ordered by name.

    Under `AUTO` a folder's files of another known format are skipped: they are sources of their own.
    """
    ordinal = 0
    for file in visible_files(path) if path.is_dir() else [path]:
        found = recognise(file) if format_ is SourceFormat.AUTO else format_
        if found in (None, SourceFormat.FOLDER):
            yield _read_page(file, found, path.name, ordinal, limit)
            ordinal += 1


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder, ordered by name, without hidden files and markers such as `_SUCCESS`."""
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith((".", "_")))


def _read_page(file: Path, found: SourceFormat | None, source: str, ordinal: int, limit: int) -> RawPage:
    name, suffix = split_name(file)
    if found is None or suffix not in PAGE_SUFFIXES:
        return broken_page(source, ordinal, f"{file.name} has an unknown format", UNKNOWN_FORMAT)
    if suffix in TEXT_SUFFIXES:
        text = TextStream(file).start(limit + 1)
        return RawPage(source, ordinal, name.replace("_", " "), text, model=PLAIN, whole=False)
    text = TextStream(file).start(line_limit(limit) + 1)
    page = make_page(parse_row(text if len(text) <= line_limit(limit) else None), source, ordinal, limit)
    return replace(page, error=f"{file.name}: {page.error}") if page.error else page
