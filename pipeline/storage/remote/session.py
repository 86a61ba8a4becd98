"""Session over a run on an object store: lease, working copy and log backup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.storage.remote.lease import RunLease
from pipeline.storage.remote.log_backup import LogBackup
from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.remote.object_store import ObjectStore


@contextmanager
def hold_lease(mirror: WorkingCopy, owner: str, lost: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a run and keep the working folder up to date inside the block.

    To be entered with the lock of the working folder held: then the process of the last session in this folder is dead,
    and its lease need not expire. Raises StorageError while another machine is active.
    """
    impatient = ObjectStore(mirror.url, patience=0)  # a late heartbeat is worthless
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
