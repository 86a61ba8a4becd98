"""Objects under one address of a store that fsspec knows: S3, Google's, Azure's and others; opened only here.

Promises: a store that does not answer is asked again for a while; what goes wrong then is one line that says what to
do; an object is read and written whole. Keys are paths below the address. Credentials are found by the store's own
client (environment, profile, instance role) and are never seen here.
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
"""Files moved at the same time."""
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 4}, "s3a": {"max_concurrency": 4}}
"""A part of a large upload takes 50 MB of memory: a process does not hold more than four."""


class Entry(NamedTuple):
    """An object as listed."""

    size: int
    """Bytes."""


class ObjectStore:
    """Everything below one address."""

    def __init__(self, url: str, patience: float = 60.0) -> None:
        """`patience`: seconds that a store which does not answer is asked again. Raises ConfigError."""
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
        """The content of an object; None where there is none. Raises StorageError."""
        content: bytes | None = self._try(key, lambda: self._files.cat_file(self._path(key)), absent=None)
        return content

    def write(self, key: str, content: bytes) -> None:
        """Put an object, in place of any before. Raises StorageError."""
        self._try(key, lambda: self._files.pipe_file(self._path(key), content))

    def create(self, key: str, content: bytes) -> bool:
        """Put an object where none is; False where one is. S3, Google's and Azure's stores decide it themselves, so of
        two that try at once one succeeds; elsewhere the store is looked at first."""

        def put() -> bool:
            self._files.pipe_file(self._path(key), content, mode="create")
            return True

        done: bool = self._try(key, put, exists=False)
        return done

    def upload(self, path: Path, key: str) -> None:
        """Put a file's content. Raises StorageError."""
        self._try(key, lambda: self._files.put_file(str(path), self._path(key)))

    def download(self, key: str, path: Path) -> bool:
        """Bring an object into a file, whole or not at all; False where there is none. Raises StorageError."""
        temporary = temporary_name(path).with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = self._try(key, lambda: self._fetch(key, temporary), absent=False)
            if found:
                replace_atomically(temporary, path)
            return bool(found)
        finally:
            temporary.unlink(missing_ok=True)

    def download_all(self, wanted: Iterable[tuple[str, Path]]) -> None:
        """Bring several objects. Raises StorageError for one that is not there."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            pending = {key: pool.submit(self.download, key, path) for key, path in wanted}
            for key, found in pending.items():
                if not found.result():
                    raise StorageError(f"{self.url}/{key}: not there", "the run is damaged; do the stage again: --redo")

    def _fetch(self, key: str, path: Path) -> bool:
        self._files.get_file(self._path(key), str(path))
        return True

    def find(self, prefix: str = "") -> dict[str, Entry]:
        """Every object whose key begins with a folder, by key, in order. Raises StorageError."""
        found: dict[str, Any] = self._try(
            prefix, lambda: self._files.find(self._path(prefix), detail=True, withdirs=False), absent={}
        )
        start = len(self._base) + 1 if self._base else 0
        return {path[start:]: Entry(int(about["size"] or 0)) for path, about in sorted(found.items())}

    def list_folders(self, prefix: str) -> list[str]:
        """Names of the folders just below one. Raises StorageError."""
        found: list[dict[str, Any]] = self._try(
            prefix, lambda: self._files.ls(self._path(prefix), detail=True), absent=[]
        )
        return sorted(
            str(about["name"]).rstrip("/").rpartition("/")[2] for about in found if about["type"] == "directory"
        )

    def identify(self, key: str) -> str | None:
        """A text that changes when the object does; None where there is none. Raises StorageError."""
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
        """When an object was last put, by the store's clock; None where there is none. Raises StorageError."""
        when: datetime | None = self._try(key, lambda: self._files.modified(self._path(key)), absent=None)
        return when

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; what is not there is no error. Raises StorageError."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self._remove, keys))

    def _remove(self, key: str) -> None:
        self._try(key, lambda: self._files.rm_file(self._path(key)), absent=None)

    def reach(self, key: str = "") -> tuple[Any, str]:
        """The store's client and the path that it takes for a key: for readers of their own, Arrow and DuckDB."""
        return self._files, self._path(key)

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}" if key else self._base

    def _try(self, key: str, work: Callable[[], Any], **outcomes: Any) -> Any:
        """Do it, again and again while the store does not answer. `outcomes`: values that stand for a fault."""
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
    """Raise ConfigError for a URL that carries a secret: it would end up in run.json, in logs and on screens."""
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
