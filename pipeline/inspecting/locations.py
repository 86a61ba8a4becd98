"""What is opened: a folder or a file, on disk or in an object store. Both are listed and read in the same way.

Promises: nothing outside the place is listed, links that lead out included; shards in a store are read where they lie,
and only run.json and the manifests, a few kilobytes, are copied to a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import pyarrow.parquet as pq

from pipeline.inspecting.errors import InspectError
from pipeline.storage.files import write_atomically
from pipeline.storage.remote.object_store import ObjectStore
from schemas.locations import is_url

RECORD = "run.json"
PATIENCE = 5.0
"""Seconds that a store which does not answer is asked again: somebody waits for the page."""
NOT_DATA = frozenset({"index", "journals", "ledger", "live", "logs", "calls", "reviews"})
"""Folders of a run that hold nothing to list; reviews are shown with what they are about."""


@dataclass(frozen=True, slots=True)
class FileHere:
    """A file within a place."""

    name: str
    """Its path, counted from the place; its own name where it was opened itself."""
    address: str
    """How DuckDB names it."""
    size: int
    """Bytes."""
    changed: int
    """Nanoseconds since 1970."""
    leads_out: bool = False
    """A link to something outside."""


class DataLocation(Protocol):
    """What was opened."""

    @property
    def name(self) -> str:
        """Its last part."""

    @property
    def address(self) -> str:
        """Its path or address."""

    @property
    def folder(self) -> Path:
        """Where run.json and the ledger are read."""

    @property
    def kept_here(self) -> bool:
        """Whether something may be written beside it."""

    def is_file(self) -> bool:
        """Whether it is a file."""

    def is_run(self) -> bool:
        """Whether it is a run's folder."""

    def files(self) -> Iterator[FileHere]:
        """All files that may hold data, in order of their names."""

    def fetch_record(self) -> bool:
        """Bring run.json into `folder`; whether it is there then."""

    def children(self) -> list[DataLocation]:
        """The folders directly within, links left out."""

    def open(self, file: FileHere) -> pq.ParquetFile:
        """Open a shard."""

    def client(self) -> Any:
        """What DuckDB reads it with; None for the disk."""


class LocalData:
    """A folder or a file on disk."""

    kept_here = True

    def __init__(self, path: Path) -> None:
        """Raises InspectError when nothing is there."""
        if not path.exists():
            raise InspectError(f"{path}: there is no such file or folder", "name a run, such as outputs/demo")
        self.folder = path.resolve()
        self.address = str(self.folder)
        self.name = self.folder.name or "root"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.folder.is_file()

    def is_run(self) -> bool:
        """Whether it is a run's folder."""
        return (self.folder / RECORD).is_file() or (self.folder / "ledger").is_dir()

    def files(self) -> Iterator[FileHere]:
        """All files that may hold data; what goes while it is looked at is left out."""
        for path in sorted(self._walk()):
            try:
                stat = path.lstat() if path.is_symlink() else path.stat()
            except OSError:
                continue
            name = path.name if path == self.folder else path.relative_to(self.folder).as_posix()
            outside = not path.resolve().is_relative_to(self.folder)
            yield FileHere(name, str(path), stat.st_size, stat.st_mtime_ns, outside)

    def _walk(self) -> Iterator[Path]:
        if self.folder.is_file():
            yield self.folder
            return
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_DATA]
            yield from (Path(folder) / name for name in files)

    def fetch_record(self) -> bool:
        """Whether it is there."""
        return (self.folder / RECORD).is_file()

    def children(self) -> list[DataLocation]:
        """The folders directly within, links left out."""
        if not self.folder.is_dir():
            return []
        return [LocalData(one) for one in sorted(self.folder.iterdir()) if one.is_dir() and not one.is_symlink()]

    def open(self, file: FileHere) -> pq.ParquetFile:
        """Open a shard."""
        return pq.ParquetFile(Path(file.address))

    def client(self) -> None:
        """DuckDB reads the disk by itself."""
        return None


class RemoteData:
    """A folder or a file in an object store."""

    kept_here = False

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that cannot be opened; whether anything lies there is not asked yet."""
        self._store = ObjectStore(url, PATIENCE)
        self._client, self._path = self._store.reach()
        self.address = self._store.url
        self.name = self.address.rsplit("/", 1)[-1]
        self._copies: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """A copy of run.json and the manifests, as they were when the files were listed last."""
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="rampforge-inspect-")
        return Path(self._copies.name)

    def is_file(self) -> bool:
        """Whether it is a shard: told by its name, so that nothing need be asked."""
        return self.name.endswith(".parquet")

    def is_run(self) -> bool:
        """Whether it is a run's folder. Raises StorageError."""
        return not self.is_file() and (self.fetch_record() or bool(self._store.list_folders("ledger")))

    def files(self) -> Iterator[FileHere]:
        """All files that may hold data; run.json and the manifests are copied on the way. Raises StorageError."""
        for key, about in self._store.find().items():
            parts = PurePosixPath(key or self.name).parts
            if key == RECORD or _is_manifest(parts):
                self._copy(key)
            elif not any(part.startswith(".") or part in NOT_DATA for part in parts[:-1]):
                address = self._client.unstrip_protocol(self._store.reach(key)[1])
                yield FileHere("/".join(parts), address, about.size, 0)

    def fetch_record(self) -> bool:
        """Copy run.json, without listing everything; whether there is one. Raises StorageError."""
        return self._copy(RECORD)

    def _copy(self, key: str) -> bool:
        content = self._store.read(key)
        if content is not None:
            write_atomically(self.folder.joinpath(*key.split("/")), content)
        return content is not None

    def children(self) -> list[DataLocation]:
        """The folders directly within. Raises StorageError."""
        return [RemoteData(f"{self.address}/{name}") for name in self._store.list_folders("")]

    def open(self, file: FileHere) -> pq.ParquetFile:
        """Open a shard."""
        return pq.ParquetFile(self._client._strip_protocol(file.address), filesystem=self._client)

    def client(self) -> Any:
        """The store's client."""
        return self._client


def _is_manifest(parts: tuple[str, ...]) -> bool:
    """Whether a key names a stage's manifest. A store lets keys hold `..`, which must not lead out of the copy."""
    return len(parts) == 3 and parts[0] == "ledger" and parts[2] == "manifest.json" and parts[1] not in (".", "..")


def open_location(where: str | Path) -> DataLocation:
    """What lies at a path or an address. Raises InspectError, ConfigError."""
    text = str(where)
    return RemoteData(text) if is_url(text) else LocalData(Path(text))
