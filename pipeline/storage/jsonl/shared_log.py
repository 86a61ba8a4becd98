"""An append-only file of JSON lines that several processes write and read at the same time; each has a `key` and a
checksum.

Promises: a line whose append returned is seen by every process that looks for its key afterwards, and outlives the
death of its writer; what a process killed while writing left behind is cut off by the next one that writes; of several
lines of one key the first counts.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from pipeline.storage.files import wrap_os_errors
from pipeline.storage.jsonl.tail import JsonlTail
from pipeline.storage.seals import read_line, seal_line

log = logging.getLogger(__name__)


class SharedJsonlLog:
    """One process's hold on the file, and which keys it has seen. Memory grows with the keys, not with the lines."""

    def __init__(self, path: Path, fits: Callable[[dict[str, Any]], bool] = lambda line: True) -> None:
        """Open the file, made when it is not there. Raises StorageError where nothing can be written.

        `fits`: whether a line without a checksum, as earlier versions wrote it, holds what its readers need.
        """
        self._fits = fits
        self._tail = JsonlTail(path)
        self._places: dict[str, tuple[int, int]] = {}

    def find(self, key: str) -> dict[str, Any] | None:
        """The line of a key, parsed; None when nobody has written one."""
        if key not in self._places:
            self._read_on()
        place = self._places.get(key)
        if place is None:
            return None
        with wrap_os_errors(self._tail.path):
            line: dict[str, Any] = read_line(os.pread(self._tail.file, place[1], place[0])).value
        return line

    def append(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        """Write lines under their keys, leaving out those that are there; all of them or, when this raises, none."""
        with self._locked():
            self._read_on()
            content = b"".join(
                seal_line(orjson.dumps({"key": key, **line}, option=orjson.OPT_APPEND_NEWLINE))
                for key, line in lines.items()
                if key not in self._places
            )
            with wrap_os_errors(self._tail.path):
                # Nobody writes but us: a line without an end is that of a process that died in it.
                os.ftruncate(self._tail.file, self._tail.end)
                try:
                    written = 0
                    while written < len(content):
                        written += os.write(self._tail.file, content[written:])
                except OSError:
                    os.ftruncate(self._tail.file, self._tail.end)
                    raise
            self._read_on()

    def close(self) -> None:
        """Give the file back; also done when nobody holds the log any more."""
        self._tail.close()

    def _read_on(self) -> None:
        """Take in the whole lines that were written since the last look."""
        for start, line in self._tail.read_on():
            if not line.strip():  # a damaged line that was dropped
                continue
            try:
                found, sealed = read_line(line)
                key = found["key"]
                if not isinstance(key, str) or not (sealed or self._fits(found)):
                    raise ValueError("not a line of this log")
            except (ValueError, KeyError, TypeError):
                log.warning("%s: a line is damaged and left out", self._tail.path)
            else:
                self._places.setdefault(key, (start, len(line)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with wrap_os_errors(self._tail.path):
            fcntl.flock(self._tail.file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._tail.file, fcntl.LOCK_UN)
