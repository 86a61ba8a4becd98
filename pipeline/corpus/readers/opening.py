"""Opening of configured sources as streams of raw pages.

Sources of the form `asset:NAME` are already resolved to paths.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from pipeline.corpus.readers.formats import FORMS, page_suffix, read_start, recognise
from pipeline.corpus.readers.mediawiki import read_mediawiki
from pipeline.corpus.readers.page_files import PAGE_SUFFIXES, read_page_files, visible_files
from pipeline.corpus.readers.plain import read_cirrus, read_hub, read_jsonl, read_parquet
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.readers.source_digests import SourceDigest
from pipeline.errors import SourceError
from schemas.config import CorpusConfig, SourceFormat
from schemas.locations import is_url

HUB = "hf:"
READERS = {
    SourceFormat.MEDIAWIKI: read_mediawiki,
    SourceFormat.CIRRUS: read_cirrus,
    SourceFormat.TABLE: read_parquet,
    SourceFormat.JSONL: read_jsonl,
}


def expand_sources(config: CorpusConfig) -> list[str]:
    """Return each file, folder of page files, data set or URL named by `config.sources`, in order, without duplicates.

    A glob stands for its sorted matches; a folder for its files, and for itself if any of these are page files or of
    unknown format. Raises SourceError for all sources that name nothing or are of unknown format.
    """
    found: dict[str, None] = {}
    faults: list[SourceError] = []
    for source in config.sources:
        try:
            elsewhere = source.startswith(HUB) or is_url(source)
            found |= dict.fromkeys([source] if elsewhere else _expand(source, config.format))
        except SourceError as error:
            faults.append(error)
    if faults:
        raise SourceError("; ".join(fault.what for fault in faults), faults[0].fix)
    if not found:
        raise SourceError("no sources: corpus.sources is empty", "set corpus.sources to files or folders")
    return list(found)


def _expand(source: str, format_: SourceFormat) -> list[str]:
    paths = [Path(source)] if Path(source).exists() else [Path(match) for match in sorted(glob.glob(source))]
    if not paths:
        raise SourceError(f"{source} does not exist", "check corpus.sources")
    expanded: list[Path] = []
    for path in paths:
        if path.is_dir():
            expanded += _expand_folder(path, format_)
        else:
            check_format(path, format_)
            expanded.append(path)
    if not expanded:
        raise SourceError(f"{source} contains no files", "check corpus.sources")
    return [str(path) for path in expanded]


def _expand_folder(folder: Path, format_: SourceFormat) -> list[Path]:
    files = visible_files(folder)
    if not files:
        inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
        return [path for part in inner for path in _expand_folder(part, format_)]
    if format_ is SourceFormat.FOLDER:
        return [folder]
    if format_ is not SourceFormat.AUTO:
        return files
    formats = {file: recognise(file) for file in files}
    if not any(formats.values()):
        names = ", ".join(file.name for file in files[:3])
        raise SourceError(f"{folder} contains no file of a known format ({names})", f"known formats: {FORMS}")
    data = [file for file, found in formats.items() if found not in (None, SourceFormat.FOLDER)]
    return data if len(data) == len(files) else [folder, *data]


def detect_format(path: Path) -> SourceFormat:
    """Detect the format of a source by its first bytes and its name; a folder of page files is `FOLDER`.

    Raises SourceError if it is unknown or not readable.
    """
    if path.is_dir():
        return SourceFormat.FOLDER
    found = recognise(path)
    if found is not None:
        return found
    head = read_start(path)
    if head.startswith("<"):
        raise SourceError(f"{path} is XML, but not a MediaWiki dump", "check corpus.sources and corpus.format")
    if not head:
        raise SourceError(f"{path} is empty", "check corpus.sources")
    raise SourceError(f"{path} has an unknown format", f"known formats: {FORMS}")


def check_format(path: Path, format_: SourceFormat) -> SourceFormat:
    """Return the format to read a file with. Raises SourceError if it is unknown, or the file is not a page file."""
    if format_ is SourceFormat.AUTO:
        return detect_format(path)
    if format_ is SourceFormat.FOLDER and path.is_file() and page_suffix(path) not in PAGE_SUFFIXES:
        raise SourceError(
            f"{path} is not a page file: these end in {', '.join(PAGE_SUFFIXES)}", "leave corpus.format at auto"
        )
    return format_


def open_source(source: str, config: CorpusConfig, digest: SourceDigest | None = None) -> Iterator[RawPage]:
    """Yield the pages of one source (an item of `expand_sources`) lazily; `digest` hashes what is read.

    Raises SourceError, at once or at the point of damage.
    """
    if source.startswith(HUB):
        return _require_pages(source, read_hub(source, config.max_page_chars))
    path = digest.path if digest else Path(source)
    format_ = check_format(path, config.format)
    if format_ is SourceFormat.FOLDER:
        return _require_pages(path, read_page_files(path, config.format, config.max_page_chars))
    return _require_pages(path, READERS[format_](path, config.max_page_chars))


def _require_pages(source: str | Path, pages: Iterator[RawPage]) -> Iterator[RawPage]:
    page: RawPage | None = None
    for page in pages:
        yield page
    if page is None:
        raise SourceError(f"{source} contains no pages", "check corpus.sources")
