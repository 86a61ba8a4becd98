"""Locations of data: a folder or a file, on disk or in an object store, with one interface.

Guarantees: nothing outside the location is listed, links to outside included; shards in a store are read in place, and
only run.json and the manifests, a few kilobytes, are copied to a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq

from pipeline.inspecting.errors import InspectError
from pipeline.storage.files import write_atomically
from pipeline.storage.near_runs import suggest_runs
from pipeline.storage.remote.object_store import ObjectStore
from schemas.locations import is_url

RECORD = "run.json"
RETRY_SECONDS = 5.0
"""Seconds of retries of a store, while a page waits."""
NOT_DATA = frozenset({"index", "journals", "ledger", "live", "logs", "calls", "reviews"})
"""Folders of a run without datasets to list; reviews are shown with their attempts."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """File of a location."""

    name: str
    """Path relative to the location; its own name where it was opened directly."""
    address: str
    """Path or URL for DuckDB."""
    size: int
    """Bytes."""
    changed: int
    """Nanoseconds since 1970."""
    is_outside: bool = False
    """Whether it is a link to outside the location."""


class LocalData:
    """Folder or file on disk."""

    is_local = True

    def __init__(self, path: Path) -> None:
        """Raises InspectError when it does not exist."""
        if not path.exists():
            raise InspectError(f"{path}: no such file or folder", suggest_runs(str(path)))
        self.folder = path.resolve()
        self.address = str(self.folder)
        self.name = self.folder.name or "root"

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.folder.is_file()

    def is_run(self) -> bool:
        """Whether it is a run's folder."""
        return (self.folder / RECORD).is_file() or (self.folder / "ledger").is_dir()

    def files(self) -> Iterator[DataFile]:
        """All files that may hold data, by name; files deleted meanwhile are left out."""
        for path in sorted(self._walk()):
            try:
                stat = path.lstat() if path.is_symlink() else path.stat()
            except OSError:
                continue
            name = path.name if path == self.folder else path.relative_to(self.folder).as_posix()
            outside = not path.resolve().is_relative_to(self.folder)
            yield DataFile(name, str(path), stat.st_size, stat.st_mtime_ns, outside)

    def _walk(self) -> Iterator[Path]:
        if self.folder.is_file():
            yield self.folder
            return
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".") and name not in NOT_DATA]
            yield from (Path(folder) / name for name in files)

    def fetch_record(self) -> bool:
        """Whether there is a run.json."""
        return (self.folder / RECORD).is_file()

    def children(self) -> list[DataLocation]:
        """Its folders, links left out."""
        if not self.folder.is_dir():
            return []
        return [LocalData(one) for one in sorted(self.folder.iterdir()) if one.is_dir() and not one.is_symlink()]

    def open(self, file: DataFile) -> pq.ParquetFile:
        """Open a shard."""
        return pq.ParquetFile(Path(file.address))

    def client(self) -> None:
        """DuckDB reads the disk by itself."""
        return None


class RemoteData:
    """Folder or file in an object store."""

    is_local = False

    def __init__(self, url: str) -> None:
        """Raises ConfigError for an invalid URL; the store is not queried yet."""
        self._store = ObjectStore(url, RETRY_SECONDS)
        self._client, self._path = self._store.reach()
        self.address = self._store.url
        self.name = self.address.rsplit("/", 1)[-1]
        self._copies: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Copies of run.json and the manifests, as of the last listing."""
        if self._copies is None:
            self._copies = tempfile.TemporaryDirectory(prefix="rampforge-inspect-")
        return Path(self._copies.name)

    def is_file(self) -> bool:
        """Whether its name is that of a shard."""
        return self.name.endswith(".parquet")

    def is_run(self) -> bool:
        """Whether it is a run's folder. Raises StorageError."""
        return not self.is_file() and (self.fetch_record() or bool(self._store.list_folders("ledger")))

    def files(self) -> Iterator[DataFile]:
        """All files that may hold data; copies run.json and the manifests. Raises StorageError."""
        for key, about in self._store.find().items():
            parts = PurePosixPath(key or self.name).parts
            if key == RECORD or _is_manifest(parts):
                self._copy(key)
            elif not any(part.startswith(".") or part in NOT_DATA for part in parts[:-1]):
                address = self._client.unstrip_protocol(self._store.reach(key)[1])
                yield DataFile("/".join(parts), address, about.size, 0)

    def fetch_record(self) -> bool:
        """Copy run.json; whether there is one. Raises StorageError."""
        return self._copy(RECORD)

    def _copy(self, key: str) -> bool:
        content = self._store.read(key)
        if content is not None:
            write_atomically(self.folder.joinpath(*key.split("/")), content)
        return content is not None

    def children(self) -> list[DataLocation]:
        """Its folders. Raises StorageError."""
        return [RemoteData(f"{self.address}/{name}") for name in self._store.list_folders("")]

    def open(self, file: DataFile) -> pq.ParquetFile:
        """Open a shard."""
        return pq.ParquetFile(self._client._strip_protocol(file.address), filesystem=self._client)

    def client(self) -> Any:
        """The file system that DuckDB reads it with."""
        return self._client


DataLocation = LocalData | RemoteData


def _is_manifest(parts: tuple[str, ...]) -> bool:
    """Whether a key is a stage's manifest. Keys may contain `..`, which must not escape the folder of copies."""
    return len(parts) == 3 and parts[0] == "ledger" and parts[2] == "manifest.json" and parts[1] not in (".", "..")


def open_location(where: str | Path) -> DataLocation:
    """Open a path or a URL. Raises InspectError, ConfigError."""
    text = str(where)
    return RemoteData(text) if is_url(text) else LocalData(Path(text))
