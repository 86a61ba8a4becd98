"""Processors that do not sleep while something is measured.

At half load the processors of the search server's benchmark fall asleep one to two thousand times a second, and on a
virtual machine it is the host that wakes them. Latencies were shorter and more even where they stayed awake. Here a
loop keeps each of them busy. It has the lowest rank there is: all else goes ahead of it at once.

Run as `python -m tests.bench.wakefulness PROCESSOR`, it is such a loop, until whoever started it is gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = 1_000_000
"""Between two looks at whether the parent lives: some hundredths of a second."""


@contextmanager
def staying_awake() -> Iterator[None]:
    """No processor of this process sleeps meanwhile."""
    command = [sys.executable, "-m", __name__]
    loops = [subprocess.Popen([*command, str(processor)]) for processor in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def keep_awake(processor: int) -> None:
    """Keep a processor busy with nothing."""
    parent = os.getppid()
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.sched_setaffinity(0, [processor])
    while os.getppid() == parent:
        for _ in range(STEPS):
            pass


if __name__ == "__main__":
    keep_awake(int(sys.argv[1]))
