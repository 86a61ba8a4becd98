"""Copies of what lies on an object store, for what reads files of this machine: dumps, exported tables, weights.

A copy lies in the cache under its address and its identity on the store, so one that has changed there is fetched anew,
and one that has not is fetched once.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from pipeline.errors import StorageError
from pipeline.storage.remote.object_store import ObjectStore
from schemas.locations import is_url

COPIES = "copies"
"""Folder of the cache that copies lie in."""
WEB = ("http://", "https://")
"""Of these a file is asked for by its name only: the web has no folders to list."""


def list_objects(url: str) -> list[str]:
    """The URLs that a URL stands for, in order: itself, what lies in it, or what it matches (`*`, `?`).

    Names that begin with a dot or an underscore are left out. Raises StorageError where nothing is there.
    """
    folder, _, name = url.rstrip("/").rpartition("/")
    if url.startswith(WEB):
        return [url]
    if any(mark in name for mark in "*?["):
        found = [key for key in ObjectStore(folder).find() if "/" not in key and fnmatch.fnmatchcase(key, name)]
        urls = [f"{folder}/{key}" for key in found]
    elif not url.endswith("/") and ObjectStore(folder).identify(name) is not None:
        urls = [url]
    else:
        names = (key for key in ObjectStore(url).find() if "/" not in key and not key.startswith((".", "_")))
        urls = [f"{url.rstrip('/')}/{key}" for key in names]
    if not urls:
        raise StorageError(f"{url}: nothing is there", "check the address")
    return urls


def copy_object(url: str, cache: Path) -> Path:
    """A copy of an object, under its own name. Raises StorageError where there is none."""
    folder, _, name = url.rpartition("/")
    store = ObjectStore(folder)
    identity = store.identify(name)
    if identity is None:
        raise StorageError(f"{url}: nothing is there", "check the address")
    path = _place(url, cache) / _shorten(identity) / name
    if not path.exists():
        store.download(name, path)
    return path


def copy_folder(url: str, cache: Path) -> Path:
    """A copy of all that lies in a folder of a store. Raises StorageError where nothing is there."""
    store = ObjectStore(url)
    keys = store.find()
    if not keys:
        raise StorageError(f"{url}: nothing is there", "check the address")
    identity = _shorten("".join(f"{key} {store.identify(key)}" for key in keys))
    folder = _place(url, cache) / identity / PurePosixPath(url.rstrip("/")).name
    store.download_all((key, path) for key in keys if not (path := folder / key).exists())
    return folder


@contextmanager
def put_when_done(location: str, cache: Path) -> Iterator[Path]:
    """A folder to write into: the location itself or, where that is a URL, one whose files are put there when the block
    ends well. A file named README.md comes last."""
    if not is_url(location):
        yield Path(location)
        return
    store = ObjectStore(location)
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache, prefix="going-out-") as scratch:
        folder = Path(scratch) / "files"
        yield folder
        files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: (p.name == "README.md", p))
        for path in files:
            store.upload(path, path.relative_to(folder).as_posix())


def _place(url: str, cache: Path) -> Path:
    return cache / COPIES / _shorten(url)


def _shorten(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
