"""File access: errors of the operating system as StorageError, and atomic writes."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError

FREE_SPACE = "free some space, then `rampforge resume RUN`: finished records are kept"
WRITABLE = "name a writable folder: `--out FOLDER`"

FIXES = {
    errno.ENOSPC: ("the disk is full", FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", FREE_SPACE),
    errno.EROFS: ("the file system is read-only", WRITABLE),
    errno.EACCES: ("permission denied", WRITABLE),
    errno.EPERM: ("permission denied", WRITABLE),
    errno.ENOTDIR: ("a file stands where a folder is needed", WRITABLE),
}


class StorageBoundary:
    """Context manager that raises an OSError as a StorageError. A class, because a generator costs more per call."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            what, fix = FIXES.get(error.errno or 0, (error.strerror or str(error), ""))
            raise StorageError(f"{self._path}: {what}", fix) from error


def wrap_os_errors(path: Path) -> StorageBoundary:
    """Raise StorageError, with the path and the way out, for any OSError inside."""
    return StorageBoundary(path)


def temporary_name(path: Path) -> Path:
    """The path to write a file at until it is complete. That of a killed process is overwritten by the next."""
    return path.with_name(f".{path.name}.tmp")


def replace_atomically(temporary: Path, path: Path) -> None:
    """Rename a finished file durably: a reader sees the old file, the new file, or none, never a part."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file, completely or not at all."""
    temporary = temporary_name(path)
    with wrap_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            replace_atomically(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and exclude other writers of it in all processes. Raises StorageError."""
    with wrap_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
