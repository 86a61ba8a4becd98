"""Usage log of a run: one line for each answered call, in one append-only file.

Guarantees: every process of a run may write to it; each line is read once, by whichever process it was written; a
process killed while writing damages that line at most; memory does not grow with the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from pipeline.storage.files import wrap_os_errors
from pipeline.storage.jsonl import JsonlTail
from pipeline.storage.seals import read_line, seal_line

log = logging.getLogger(__name__)

MOST_INTERVALS = 4096
"""Minimum number of recent intervals in memory; of a call that outlasts them, a part of the time counts."""


class CallUsage(NamedTuple):
    """One answered call."""

    role: str
    """Role that requested it."""
    model: str
    """Name of the model."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Price by the table in force."""
    ended: float
    """Time of the reply, in seconds of the clock that all processes share."""
    seconds: float
    """Seconds from request to reply, with waiting and retries."""
    endpoint: str = ""
    """Name of the endpoint that answered."""


class UsageLog:
    """The log as one process writes and reads it."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError where nothing can be written."""
        self._tail = JsonlTail(path)

    def write(self, entry: CallUsage) -> None:
        """Append a line; `read` returns it like those of other processes."""
        with wrap_os_errors(self._tail.path):
            os.write(self._tail.file, seal_line(orjson.dumps(list(entry), option=orjson.OPT_APPEND_NEWLINE)))

    def read(self) -> Iterator[CallUsage]:
        """The new entries since the last call. A line without its end is left for the next."""
        for _, line in self._tail.read_on():
            if not line.strip():  # a damaged line that was dropped
                continue
            try:
                yield CallUsage(*read_line(line))
            except (ValueError, TypeError):
                log.warning("%s: a damaged entry is ignored", self._tail.path)

    def close(self) -> None:
        """Close the file; also done when nothing refers to the log any more."""
        self._tail.close()


class BusyTime:
    """Sum of the time with at least one call in flight: the length of the union of their intervals.

    Entries arrive roughly in the order in which the calls ended, so only the last `MOST_INTERVALS` to twice as many
    intervals are in memory: the part of a call before them is taken as counted.
    """

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []
        self._settled = 0.0
        self._until = float("-inf")
        """End of the time that is settled."""

    def add(self, start: float, end: float) -> None:
        """Count a call."""
        start = max(start, self._until)
        if end <= start:
            return
        intervals = self._intervals
        while intervals and intervals[-1][1] >= start:
            last = intervals.pop()
            start, end = min(start, last[0]), max(end, last[1])
        intervals.append((start, end))
        if len(intervals) >= 2 * MOST_INTERVALS:
            self._settled += _measure(intervals[:MOST_INTERVALS])
            self._until = intervals[MOST_INTERVALS - 1][1]
            del intervals[:MOST_INTERVALS]

    @property
    def seconds(self) -> float:
        """The sum so far."""
        return self._settled + _measure(self._intervals)


def _measure(intervals: Iterable[tuple[float, float]]) -> float:
    return sum(end - start for start, end in intervals)
