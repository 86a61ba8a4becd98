"""Detection of the format of a source, by its first bytes and, where these are ambiguous, by its name."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.corpus.readers.byte_streams import TextStream, decode_head, read_head
from schemas.config import SourceFormat

TEXT_SUFFIXES, OBJECT_SUFFIX = (".txt", ".md"), ".json"
LINES_SUFFIXES = (".jsonl", ".ndjson")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
FORMS = (
    "MediaWiki XML (.xml), CirrusSearch or JSON lines (.json, .jsonl), Parquet (.parquet), "
    "or page files (.txt, .md, .json); .bz2, .gz, .xz and .zst are unpacked"
)
CIRRUS_NAME = re.compile(r"cirrus|_(?:content|general)-\d{8}-\d+\.json")
CIRRUS_LINE = re.compile(r'\{\s*"index"\s*:')
ENDS_INSIDE = ("{", "[", ",")
"""Possible ends of the first line of an object that spans several lines."""
LONGEST_LINE = 1 << 26


def recognise(path: Path) -> SourceFormat | None:
    """Return the format of a file; None if unknown. `FOLDER` stands for a page file.

    Raises SourceError when it is not readable.
    """
    start = read_start(path)
    is_text = page_suffix(path) in TEXT_SUFFIXES
    if start.startswith("PAR1"):
        return SourceFormat.TABLE
    if start.startswith("<") and "<mediawiki" in start:
        return SourceFormat.MEDIAWIKI
    if start.startswith("{") and not (is_text and re.match(r'\{\s*"', start) is None):
        return _recognise_json(path, start)
    if start and page_suffix(path) in LINES_SUFFIXES:
        return SourceFormat.JSONL
    return SourceFormat.FOLDER if is_text else None


def page_suffix(path: Path) -> str:
    """Return the suffix of a file's name, in lower case, without that of its compression."""
    return split_name(path)[1]


def split_name(path: Path) -> tuple[str, str]:
    """Return a file's name without suffixes, and its suffix in lower case, ignoring that of its compression."""
    inner = Path(path.stem) if path.suffix.lower() in COMPRESSED else path
    return inner.stem, inner.suffix.lower()


def _recognise_json(path: Path, start: str) -> SourceFormat:
    if CIRRUS_LINE.match(start) or CIRRUS_NAME.search(path.name):
        return SourceFormat.CIRRUS
    if page_suffix(path) == OBJECT_SUFFIX and _holds_one_object(path):
        return SourceFormat.FOLDER
    return SourceFormat.JSONL


def _holds_one_object(path: Path) -> bool:
    """Return whether a JSON file contains a single object rather than one per line; reads to the second line."""
    lines = (line for line in TextStream(path).lines(LONGEST_LINE) if line is None or line.strip())
    first = next(lines, None)
    if first is not None and first.rstrip().endswith(ENDS_INSIDE):
        return True
    return next(lines, "") == ""


def read_start(path: Path) -> str:
    """Return the first text of a file, without leading white space. Raises SourceError when it is not readable."""
    return decode_head(read_head(path)).lstrip()
