"""Heartbeat of a shard: the progress of a worker, written once a second from a separate thread.

Guarantees: the work itself only counts; a worker that is deep in C code or in a hanging event loop still reports, or is
recognised by the age of its record.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from flows.monitoring.live_files import write_live
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from schemas.live import EndpointLive, ShardLive

WRITE_SECONDS = 1.0

Load = Callable[[], tuple[EndpointLive, ...]]


class ShardHeartbeat:
    """Count the outcomes of one shard, and write them while the block runs."""

    def __init__(self, run: RunFolder, stage: str, shard: str, unit: str, resumed: int, load: Load | None) -> None:
        """`unit`: the kind of step whose passes count as accepted; `load`: state of the language models."""
        self._path = run.live_shard(stage, shard)
        self._stage, self._shard, self._unit, self._resumed = stage, shard, unit, resumed
        self._load = load
        self._done = 0
        self._accepted: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="shard-reporter", daemon=True)

    def note(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self._done += 1
        for step in outcome.funnel:
            if step.unit == self._unit:
                self._accepted = (self._accepted or 0) + step.passed

    def describe(self) -> ShardLive:
        """Return the current record."""
        return ShardLive(
            stage=self._stage,
            shard=self._shard,
            pid=os.getpid(),
            at=time.time(),
            resumed=self._resumed,
            done=self._done,
            accepted=self._accepted,
            endpoints=self._load() if self._load else (),
        )

    def _write_on(self) -> None:
        while not self._stop.wait(WRITE_SECONDS):
            write_live(self._path, self.describe())

    def __enter__(self) -> Self:
        write_live(self._path, self.describe())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the last record until the coordinator has read the shard's result."""
        self._stop.set()
        self._thread.join()
        write_live(self._path, self.describe())


def count_lines(path: Path) -> int:
    """Return the number of complete lines of a journal; 0 where there is none."""
    try:
        with path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
