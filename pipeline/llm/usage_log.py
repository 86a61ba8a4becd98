"""The usage log of a run: one line for each call that was answered, in one file that only grows.

Promises: every process of a run may write to it; a line is read once, whoever wrote it; what a process killed while
writing left behind costs that line at most; memory does not grow with the file.
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

KEPT = 4096
"""Pauses between calls that are remembered at least; a call that outlasts more is counted for a part of its time."""


class CallUsage(NamedTuple):
    """One answered call."""

    role: str
    """Who asked."""
    model: str
    """Name of the model."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Price, by the table of that moment."""
    ended: float
    """When the reply came, in seconds of the clock that all processes share."""
    seconds: float
    """From request to reply, waiting and further tries included."""
    endpoint: str = ""
    """Name of the endpoint that answered."""


class UsageLog:
    """One process's hold on the file, and how far it has read."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError where nothing can be written."""
        self._tail = JsonlTail(path)

    def write(self, entry: CallUsage) -> None:
        """Add a line. Reading gives it back like any other process's."""
        with wrap_os_errors(self._tail.path):
            os.write(self._tail.file, seal_line(orjson.dumps(list(entry), option=orjson.OPT_APPEND_NEWLINE)))

    def read(self) -> Iterator[CallUsage]:
        """The entries that are new since the last reading. A line still without its end waits."""
        for _, line in self._tail.read_on():
            if not line.strip():  # a damaged line that was dropped
                continue
            try:
                yield CallUsage(*read_line(line))
            except (ValueError, TypeError):
                log.warning("%s: an entry is damaged and left out", self._tail.path)

    def close(self) -> None:
        """Give the file back; also done when nothing refers to the log any more."""
        self._tail.close()


class BusyTime:
    """Adds up the time in which at least one call was under way: the length of the union of their intervals.

    Entries come about in the order in which the calls ended, so one interval is kept for each pause, and only the last
    `KEPT` to twice as many: of a call that began before those, what lies before them is taken as counted.
    """

    def __init__(self) -> None:
        self._intervals: list[tuple[float, float]] = []
        self._settled = 0.0
        self._until = float("-inf")
        """Up to here all is settled."""

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
        if len(intervals) >= 2 * KEPT:
            self._settled += _measure(intervals[:KEPT])
            self._until = intervals[KEPT - 1][1]
            del intervals[:KEPT]

    @property
    def seconds(self) -> float:
        """The sum so far."""
        return self._settled + _measure(self._intervals)


def _measure(intervals: Iterable[tuple[float, float]]) -> float:
    return sum(end - start for start, end in intervals)
