"""Ledger of a run's sources: size, time and first and last bytes from the start, the hash of the whole content once it
has been read.

A resumed run compares size, time and first and last bytes. Only if nothing but the time differs (the file was copied or
touched, or changed in its middle) is a source read again to compare its hash.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from flows.configuration.provenance import fingerprint_sources
from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_sources
from pipeline.corpus.readers.source_digests import SourceDigest, hash_source, list_files
from pipeline.errors import SourceError
from pipeline.storage.ledger_files import read_record
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.ledger import SourceList, SourceRecord


def list_source_records(run: RunFolder) -> tuple[SourceRecord, ...]:
    """Return the recorded sources, in order; none before they are read. Raises StorageError."""
    path = run.fetch(_locate(run))
    return read_record(path, SourceList, run.location).sources if path.exists() else ()


def look_at_sources(sources: Sequence[str]) -> tuple[SourceRecord, ...]:
    """Return the current state of the sources, unread. Raises SourceError, StorageError."""
    edges = fingerprint_sources(sources)
    return tuple(
        SourceRecord(name=name, edges=edges_text, modified=_find_time(source))
        for source, (name, edges_text) in zip(sources, edges.items(), strict=True)
    )


def check_sources(context: RunContext) -> tuple[SourceRecord, ...]:
    """Return the current state of the sources, with the recorded hashes. Raises SourceError for one that has changed
    since.
    """
    sources = find_sources(context)
    known = {record.name: record for record in list_source_records(context.run)}
    checked = []
    for source, now in zip(sources, look_at_sources(sources), strict=True):
        then = known.get(now.name)
        if then is not None and then.edges == now.edges:
            if then.modified != now.modified and (then.sha256 is None or then.sha256 != _hash(source, sources)):
                raise _changed(context.run, source)
            now = now.model_copy(update={"sha256": then.sha256})
        checked.append(now)
    return tuple(checked)


def write_source_records(run: RunFolder, records: Sequence[SourceRecord]) -> None:
    """Record the sources, unless they are recorded already."""
    if tuple(records) != list_source_records(run):
        run.write_record(_locate(run), SourceList(sources=tuple(records)))


def open_digest(source: str, sources: Sequence[str]) -> SourceDigest | None:
    """Return a hasher for a source that is being read; None if it is not a file or folder on this machine."""
    path = Path(source)
    return SourceDigest(path, list(map(Path, sources))) if path.exists() else None


def note_digest(run: RunFolder, number: int, source: str, sha256: str) -> None:
    """Record the hash of a source that has been read to its end.

    Raises SourceError if it was read before, in part or whole, with other content.
    """
    records = list(list_source_records(run))
    if records[number].sha256 not in (None, sha256):
        raise _changed(run, source)
    records[number] = records[number].model_copy(update={"sha256": sha256})
    write_source_records(run, records)


def compare_source(record: SourceRecord, source: str, sources: Sequence[str]) -> str:
    """Describe the differences between a recorded source and the one of that name here, read completely; empty if there
    are none.

    `source`: its path on this machine; `sources`: all of the run, as returned by `find_sources`. Raises SourceError.
    """
    if record.sha256 is None:
        (edges,) = fingerprint_sources([source]).values()
        return "" if edges == record.edges else f"its size or edges differ: {record.edges}, now {edges}"
    found = _hash(source, sources)
    if found is None:
        return "it does not exist"
    return "" if found == record.sha256 else f"its content differs: sha256 {record.sha256}, now {found}"


def describe_sources(run: RunFolder) -> dict[str, str]:
    """Return the identity of each source, for run.json."""
    return {
        record.name: f"{record.edges.partition(',')[0]}, sha256 {record.sha256}" if record.sha256 else record.edges
        for record in list_source_records(run)
    }


def _locate(run: RunFolder) -> Path:
    return run.ledger(StageName.CORPUS) / "sources.json"


def _hash(source: str, sources: Sequence[str]) -> str | None:
    return hash_source(Path(source), list(map(Path, sources))) if Path(source).exists() else None


def _find_time(source: str) -> int | None:
    path = Path(source)
    files = list_files(path) if path.is_dir() else [path] if path.exists() else []
    return max((file.stat().st_mtime_ns for file in files), default=None)


def _changed(run: RunFolder, source: str) -> SourceError:
    return SourceError(
        f"{run.location}: the source {source} changed after it was first read",
        f"restore the file; or read it again, `rampforge resume {shlex.quote(run.location)} --redo corpus`, or start "
        "another run, `--name OTHER`",
    )
