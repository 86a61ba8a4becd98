"""Opens runs by location: a folder of this machine, or the URL of an object store."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.run_folder import RunFolder
from schemas.locations import is_url
from schemas.store_config import StoreConfig

RUNS = "runs"
"""Folder of the cache with the working folders."""
LOCAL_URL = re.compile(r"^(file|local)://", re.IGNORECASE)


def open_run(location: str | Path, cache: Path, settings: StoreConfig | None = None) -> RunFolder:
    """The run at a location, existing or not. The working copy of a run on a store is in the cache.

    Any number of processes on any machines may open a run; one at a time may hold it (`RunFolder.locked`).
    Raises StorageError for an unreachable store, ConfigError for a URL of an unknown kind.
    """
    name = str(location)
    if not is_url(name):
        return RunFolder(Path(LOCAL_URL.sub("", name)))
    mirror = WorkingCopy(name, find_working_folder(name, cache), settings or StoreConfig())
    mirror.freshen()
    return RunFolder(mirror.root, mirror)


def find_working_folder(url: str, cache: Path) -> Path:
    """The working folder of a run on a store."""
    tidy = url.rstrip("/")
    digest = hashlib.sha256(tidy.encode()).hexdigest()[:12]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", tidy.partition("://")[2])[-60:].strip("-.")
    return cache / RUNS / f"{name}-{digest}"


def name_run(location: str) -> str:
    """The name of the run at a location: the last part of it."""
    return location.rstrip("/").rpartition("/")[2] if is_url(location) else Path(location).resolve().name


def join_location(folder: str, name: str) -> str:
    """The location of an entry of a folder, local or on a store."""
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)
