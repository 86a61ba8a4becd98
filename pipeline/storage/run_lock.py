"""The lock of a run's folder: held by one process, and gone with it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pipeline.errors import RunHeldError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.remote.mirror import LOCK

LOOK_SECONDS = 0.2
"""How long a lock that is taken is asked for again: a page that shows a run's state takes it for an instant."""


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
        with wrap_os_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
        if not _lock(lock):
            lock.close()
            raise RunHeldError(f"{location}: another rampforge is at work here", "wait for it, or stop it")
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        lock.close()  # the process that held it before took it away


def _lock(lock: IO[str]) -> bool:
    """Take the lock; False where another process keeps it, and does not only look whether it is taken."""
    deadline = time.monotonic() + LOOK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_SECONDS / 20)
        else:
            return True
