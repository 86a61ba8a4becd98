"""Local copies of objects, for readers of files: dumps, exported tables, weights.

A copy is cached by the URL and the identity of its object, so that a changed object is fetched again, and an unchanged
one once.
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
"""Folder of the cache with the copies."""
WEB = ("http://", "https://")
"""URLs of single files: the web has no folders to list."""


def list_objects(url: str) -> list[str]:
    """The objects at a URL, in order: itself, the entries of a folder, or the matches of a pattern (`*`, `?`).

    Names that begin with a dot or an underscore are excluded. Raises StorageError for none.
    """
    folder, _, name = url.rstrip("/").rpartition("/")
    if url.startswith(WEB):
        return [url]
    if any(mark in name for mark in "*?["):
        keys = [key for key in ObjectStore(folder).find() if "/" not in key and fnmatch.fnmatchcase(key, name)]
        urls = [f"{folder}/{key}" for key in keys]
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
    """A copy of a folder of a store. Raises StorageError where nothing is there."""
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
    """A folder to write into: the location itself or, for a URL, a temporary one that is uploaded when the block
    succeeds, with README.md last."""
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
