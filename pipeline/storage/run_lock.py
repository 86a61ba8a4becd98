"""The lock of a run's folder: held by one process, and gone with it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline.errors import RunHeldError
from pipeline.storage.boundary import storage_boundary
from pipeline.storage.run_mirror import LOCK


@contextmanager
def hold_folder(root: Path, location: str) -> Iterator[None]:
    """Hold a folder inside the block; one that was made for it and in which nothing was left is taken away again.

    `location`: how people name it. Raises RunHeldError when another process has it.
    """
    new = not root.exists()
    with _open_lock(root, location):
        try:
            yield
        finally:
            if new and [path.name for path in root.iterdir()] == [LOCK]:
                (root / LOCK).unlink()
                with suppress(OSError):  # somebody else has just begun here
                    root.rmdir()


def _open_lock(root: Path, location: str) -> IO[str]:
    """The lock, open and held."""
    path = root / LOCK
    while True:
        with storage_boundary(root):
            root.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise RunHeldError(f"{location}: another rampforge is at work here", "wait for it, or stop it") from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        lock.close()  # the process that held it before took it away
