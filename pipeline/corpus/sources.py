"""From what the config calls a source to a stream of raw pages.

Sources of the form `asset:NAME` are turned into paths before they get here.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from pipeline.corpus.byte_streams import detect_encoding, read_head
from pipeline.corpus.mediawiki import read_mediawiki
from pipeline.corpus.plain_sources import (
    PAGE_SUFFIXES,
    read_cirrus,
    read_folder,
    read_hub,
    read_jsonl,
    read_parquet,
)
from pipeline.corpus.raw_pages import RawPage
from pipeline.corpus.source_digests import SourceDigest
from pipeline.errors import SourceError
from schemas.config import CorpusConfig, SourceFormat

HUB = "hf:"
READERS = {
    SourceFormat.MEDIAWIKI: read_mediawiki,
    SourceFormat.CIRRUS: read_cirrus,
    SourceFormat.TABLE: read_parquet,
    SourceFormat.JSONL: read_jsonl,
    SourceFormat.FOLDER: read_folder,
}


def expand_sources(config: CorpusConfig) -> list[str]:
    """Each file, folder of pages or data set named by `config.sources`, in order, none twice.

    A glob stands for what it matches, sorted; a folder for its files, unless these are pages themselves.
    Raises SourceError when a source names nothing.
    """
    found: dict[str, None] = {}
    for source in config.sources:
        for path in [source] if source.startswith(HUB) else _expand(source, config.format):
            found[path] = None
    if not found:
        raise SourceError("there is nothing to read", "name files or folders in corpus.sources")
    return list(found)


def _expand(source: str, format_: SourceFormat) -> list[str]:
    paths = [Path(source)] if Path(source).exists() else [Path(match) for match in sorted(glob.glob(source))]
    if not paths:
        raise SourceError(f"{source} does not exist", "check corpus.sources")
    expanded: list[Path] = []
    for path in paths:
        if path.is_dir() and format_ in (SourceFormat.AUTO, SourceFormat.FOLDER) and _holds_pages(path):
            expanded.append(path)
        elif path.is_dir():
            expanded += sorted(
                file for file in path.iterdir() if file.is_file() and not file.name.startswith((".", "_"))
            )
        else:
            expanded.append(path)
    return [str(path) for path in expanded]


def _holds_pages(folder: Path) -> bool:
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith((".", "_"))]
    return bool(files) and all(file.suffix in PAGE_SUFFIXES for file in files)


def detect_format(path: Path) -> SourceFormat:
    """How a source is written, by its first bytes.

    Raises SourceError when they fit no known format.
    """
    if path.is_dir():
        return SourceFormat.FOLDER
    head = read_head(path)
    if head.startswith(b"PAR1"):
        return SourceFormat.TABLE
    start = head.decode(detect_encoding(head), "ignore").lstrip()
    if start.startswith("<"):
        return SourceFormat.MEDIAWIKI
    if start.startswith("{"):
        first = start.split("\n", 1)[0].replace(" ", "")
        cirrus = first.startswith('{"index":') or "cirrussearch" in path.name
        return SourceFormat.CIRRUS if cirrus else SourceFormat.JSONL
    if not start:
        raise SourceError(f"{path.name} is empty", "check corpus.sources")
    raise SourceError(f"{path.name} is of no known format", "set corpus.format, or check corpus.sources")


def open_source(source: str, config: CorpusConfig, digest: SourceDigest | None = None) -> Iterator[RawPage]:
    """The pages of one source (an item of `expand_sources`), read as they are asked for; `digest` hashes what is read.

    Raises SourceError, at once or at the point of damage.
    """
    if source.startswith(HUB):
        return read_hub(source)
    path = digest.path if digest else Path(source)
    format_ = detect_format(path) if config.format is SourceFormat.AUTO else config.format
    return READERS[format_](path)
