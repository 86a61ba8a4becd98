"""The lock of a run's folder: held by one process, and released at its death."""

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

LOCK = ".lock"
LOOK_SECONDS = 0.2
"""How long a taken lock is retried: a page that shows a run's state takes it for an instant."""


def is_held(root: Path) -> bool:
    """Whether a process holds a run's folder now."""
    try:
        with (root / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def hold_folder(root: Path, location: str) -> Iterator[None]:
    """Hold a folder inside the block; a new one that stays empty is removed again.

    `location`: for messages. Raises RunHeldError when another process has it.
    """
    new = not root.exists()
    with _open_lock(root, location):
        try:
            yield
        finally:
            if new and [path.name for path in root.iterdir()] == [LOCK]:
                (root / LOCK).unlink()
                with suppress(OSError):  # another process has just begun here
                    root.rmdir()


def _open_lock(root: Path, location: str) -> IO[str]:
    """The lock, open and locked."""
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
        lock.close()  # the process that held it before removed it


def _lock(lock: IO[str]) -> bool:
    """Take the lock; False where another process holds it for longer than an instant."""
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
