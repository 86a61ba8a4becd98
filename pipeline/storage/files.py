"""Turns the operating system's errors into ours, at the one place where files are touched, and writes files whole."""

from __future__ import annotations

import errno
import os
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
    """Turns an OSError inside its block into a StorageError. Entered for every call: a generator would cost more."""

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
    """Raise StorageError, naming the path and the way out, for any OSError inside."""
    return StorageBoundary(path)


def temporary_name(path: Path) -> Path:
    """Where a file is written until it is whole. One that a killed process left is overwritten by the next try."""
    return path.with_name(f".{path.name}.tmp")


def replace_atomically(temporary: Path, path: Path) -> None:
    """Give a finished file its name.

    The file reaches the disk before it gets its name, and the name before this returns: a reader sees the old file,
    the new file, or none, never half of one.
    """
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
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
