"""Object store below one URL, by fsspec: S3, Google's, Azure's and others.

Guarantees: requests are retried while the store does not answer; errors have a cause and a remedy; objects are written
completely or not at all. Keys are paths below the URL. Credentials are read by the store's own client (environment,
profile, instance role).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pipeline.errors import ConfigError, StorageError
from pipeline.http.retrying import Retrying, retrying
from pipeline.storage.files import replace_atomically, temporary_name
from pipeline.storage.remote.errors import StoreFault, explain, name_fault
from schemas.locations import find_secret

T = TypeVar("T")

CONNECTIONS = 8
"""Concurrent transfers."""
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 4}, "s3a": {"max_concurrency": 4}}
"""A part of a large upload takes 50 MB of memory: four at most."""


class Entry(NamedTuple):
    """An object as listed, with its size in bytes."""

    size: int


class ObjectStore:
    """The objects below one URL."""

    def __init__(self, url: str, patience: float = 60.0) -> None:
        """`patience`: seconds of retries while the store does not answer. Raises ConfigError."""
        refuse_secrets(url)
        self.url = url.rstrip("/")
        self._patience = patience
        protocol = url.partition("://")[0].lower()
        core = import_module("fsspec.core")  # here: most runs lie on this machine
        try:
            options = {"use_listings_cache": False, **OPTIONS.get(protocol, {})}
            self._files, base = core.url_to_fs(self.url, **options)
        except ImportError:
            raise ConfigError(f"{url}: what opens such a URL is not installed", _name_package(protocol)) from None
        except ValueError as error:
            raise ConfigError(f"{url}: {error}", "s3://BUCKET/FOLDER and gs://BUCKET/FOLDER are known") from None
        self._base = str(base).rstrip("/")

    def read(self, key: str) -> bytes | None:
        """The content of an object, if it exists. Raises StorageError."""
        content: bytes | None = self._try(key, lambda: self._files.cat_file(self._path(key)), absent=None)
        return content

    def write(self, key: str, content: bytes) -> None:
        """Put an object, replacing an earlier one. Raises StorageError."""
        self._try(key, lambda: self._files.pipe_file(self._path(key), content))

    def create(self, key: str, content: bytes) -> bool:
        """Put an object unless one exists; False where one does. Atomic on S3, Google's and Azure's stores; elsewhere
        existence is checked first."""

        def put() -> bool:
            self._files.pipe_file(self._path(key), content, mode="create")
            return True

        done: bool = self._try(key, put, exists=False)
        return done

    def upload(self, path: Path, key: str) -> None:
        """Put a file's content. Raises StorageError."""
        self._try(key, lambda: self._files.put_file(str(path), self._path(key)))

    def download(self, key: str, path: Path) -> bool:
        """Download an object into a file, completely or not at all; False where there is none. Raises StorageError."""
        temporary = temporary_name(path).with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            exists = self._try(key, lambda: self._fetch(key, temporary), absent=False)
            if exists:
                replace_atomically(temporary, path)
            return bool(exists)
        finally:
            temporary.unlink(missing_ok=True)

    def download_all(self, targets: Iterable[tuple[str, Path]]) -> None:
        """Download several objects. Raises StorageError for a missing one."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            pending = {key: pool.submit(self.download, key, path) for key, path in targets}
            for key, exists in pending.items():
                if not exists.result():
                    raise StorageError(f"{self.url}/{key}: not there", "the run is damaged; do the stage again: --redo")

    def _fetch(self, key: str, path: Path) -> bool:
        self._files.get_file(self._path(key), str(path))
        return True

    def find(self, prefix: str = "") -> dict[str, Entry]:
        """Every object below a folder, by key, in order. Raises StorageError."""
        found: dict[str, Any] = self._try(
            prefix, lambda: self._files.find(self._path(prefix), detail=True, withdirs=False), absent={}
        )
        start = len(self._base) + 1 if self._base else 0
        return {path[start:]: Entry(int(about["size"] or 0)) for path, about in sorted(found.items())}

    def list_folders(self, prefix: str) -> list[str]:
        """Names of the direct subfolders. Raises StorageError."""
        found: list[dict[str, Any]] = self._try(
            prefix, lambda: self._files.ls(self._path(prefix), detail=True), absent=[]
        )
        return sorted(
            str(about["name"]).rstrip("/").rpartition("/")[2] for about in found if about["type"] == "directory"
        )

    def identify(self, key: str) -> str | None:
        """A text that changes with the object; None where there is none. Raises StorageError."""
        path = self._path(key)

        def look() -> str | None:
            return str(self._files.ukey(path)) if self._files.info(path)["type"] == "file" else None

        identity: str | None = self._try(key, look, absent=None)
        return identity

    def measure(self, key: str) -> int:
        """Bytes of an object. Raises StorageError where there is none."""
        return int(self._try(key, lambda: self._files.size(self._path(key))) or 0)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """A part of an object. Raises StorageError where there is none."""
        content: bytes = self._try(key, lambda: self._files.cat_file(self._path(key), start=start, end=end))
        return content

    def modified(self, key: str) -> datetime | None:
        """Time of an object's last write, by the store's clock; None where there is none. Raises StorageError."""
        when: datetime | None = self._try(key, lambda: self._files.modified(self._path(key)), absent=None)
        return when

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; missing ones are ignored. Raises StorageError."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self._remove, keys))

    def _remove(self, key: str) -> None:
        self._try(key, lambda: self._files.rm_file(self._path(key)), absent=None)

    def reach(self, key: str = "") -> tuple[Any, str]:
        """The store's client and its path of a key, for Arrow and DuckDB."""
        return self._files, self._path(key)

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}" if key else self._base

    def _try(self, key: str, work: Callable[[], Any], **outcomes: Any) -> Any:
        """Do work, with retries. `outcomes`: results in place of a fault, by its name."""
        retry = retrying(Retrying, self.url, Exception, unless=_is_final, seconds=self._patience)
        try:
            return retry(work)
        except Exception as error:  # each store raises its own kinds
            fault = name_fault(error)
            if fault.value in outcomes:
                return outcomes[fault.value]
            what, fix = explain(fault, error)
            raise StorageError(f"{self.url}{'/' * bool(key)}{key}: {what}", fix) from error


def _is_final(error: BaseException) -> bool:
    return name_fault(error) is not StoreFault.UNREACHABLE


def refuse_secrets(url: str) -> None:
    """Raise ConfigError for a URL with a secret, which would be written into run.json, logs and messages."""
    secret = find_secret(url)
    if secret:
        raise ConfigError(
            f"a URL carries {secret}",
            "leave it out: credentials come from the environment, a profile or the machine's role",
        )


def _name_package(protocol: str) -> str:
    if protocol in ("s3", "s3a"):
        return "pip install 'rampforge[s3]'"
    known: dict[str, dict[str, str]] = import_module("fsspec.registry").known_implementations
    return known.get(protocol, {}).get("err", "install what fsspec needs for it")
