"""Holds a run that lies on an object store for one process, from its lock to the last saving of what was paid for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.storage.remote.lease import RunLease
from pipeline.storage.remote.log_backup import LogBackup
from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.remote.object_store import ObjectStore


@contextmanager
def hold_lease(mirror: WorkingCopy, owner: str, lost: Callable[[str], None]) -> Iterator[None]:
    """Take the run's lock on its store, bring the working folder up to date, and keep both until the block ends.

    To be entered with the working folder's own lock held: then whoever had the last session in this folder is dead,
    and need not be waited for. Raises StorageError while another machine is at work.
    """
    impatient = ObjectStore(mirror.url, patience=0)  # a sign of life that comes late is no sign of life
    lock = RunLease(impatient, owner, mirror.settings.lease, lost)
    before = lock.begin(dead=mirror.find_token())
    try:
        trusted = mirror.take_over(lock.number, before.number if before else 0, lock.token)
        saver = LogBackup(mirror)
        saver.restore(trusted=trusted)
        with saver:
            yield
    finally:
        mirror.holding = False
        lock.end()
