"""Append-only files of JSON lines, each with a checksum.

Contract: after `kill -9` at any moment the file holds every line whose append returned; the torn last line of a killed
writer is cut off by the next one; a damaged line is left out, and only that line; memory grows with the keys, not with
the lines.
"""

from __future__ import annotations

import fcntl
import logging
import os
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.seals import read_line, seal_line

log = logging.getLogger(__name__)

BLOCK = 1 << 16
"""Bytes read at once. Some look at every call, and most often there is next to nothing: more would cost more."""


class JsonlTail:
    """A file that several processes append to, and how far this one has read it."""

    def __init__(self, path: Path) -> None:
        """Open the file, made when it is not there. Raises StorageError where nothing can be written."""
        self.path = path
        self.end = 0
        """Offset just past the last line that was given."""
        with wrap_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        # Closed, and its lock given back, also when nobody holds this any more: a shard may be tried again here.
        self.close = weakref.finalize(self, os.close, self.file)
        """Close the file."""

    def read_on(self) -> Iterator[tuple[int, bytes]]:
        """The whole lines that are new since the last reading, each with its offset. One without its end waits."""
        rest = b""
        while True:
            size = max(BLOCK, len(rest))
            with wrap_os_errors(self.path):
                block = os.pread(self.file, size, self.end + len(rest))
            rest += block
            whole = rest[: rest.rfind(b"\n") + 1]
            rest = rest[len(whole) :]
            for line in whole.splitlines(keepends=True):
                start, self.end = self.end, self.end + len(line)
                yield start, line
            if len(block) < size:
                return

    def append(self, content: bytes) -> None:
        """Write whole lines, all or none. To be called with the file locked and read to its end."""
        with wrap_os_errors(self.path):
            try:
                written = os.write(self.file, content)
                while written < len(content):
                    written += os.write(self.file, content[written:])
            except OSError:
                self.cut_off()
                raise

    def cut_off(self) -> None:
        """Remove what follows the last whole line: it would swallow the next one. Needs no space on the disk."""
        os.ftruncate(self.file, self.end)


class _KeyedLines:
    """The lines of a file, addressed by their member `key`."""

    def __init__(self, path: Path, *, last: bool) -> None:
        """`last`: of several lines of one key the last counts, not the first."""
        self.path = path
        self._last = last
        self._tail = JsonlTail(path)
        self._places: dict[str, tuple[int, int]] = {}

    def _read_on(self) -> None:
        """Index the whole lines that were written since the last look."""
        left_out = 0
        for start, line in self._tail.read_on():
            if line.strip():  # a damaged line that was dropped is blank
                left_out += not self._index(line, start)
        if left_out:
            log.warning("%s: %d damaged lines are left out, and what they held is done again", self.path, left_out)

    def _index(self, line: bytes, start: int) -> bool:
        """Note where a line is; whether it is sound."""
        try:
            key = read_line(line)["key"]
        except (ValueError, KeyError, TypeError):
            return False
        if isinstance(key, str) and (self._last or key not in self._places):
            self._places[key] = (start, len(line))
        return isinstance(key, str)

    def read(self, key: str) -> Any:
        """The line of a key, parsed. Raises KeyError for an unknown one."""
        start, length = self._places[key]
        with wrap_os_errors(self.path):
            return read_line(os.pread(self._tail.file, length, start))

    def close(self) -> None:
        """Close the file and give its lock back; also done when nobody holds this any more."""
        self._tail.close()


class JsonlLog(_KeyedLines):
    """A file of one writer, kept out of other processes by a lock; of several lines of one key the last counts."""

    def __init__(self, path: Path) -> None:
        """Raises StorageError where another process writes the file, or nothing can be written."""
        super().__init__(path, last=True)
        with wrap_os_errors(path):
            try:
                fcntl.flock(self._tail.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise StorageError(f"{path}: another process writes this journal", "wait for it, or stop it") from None
            self._read_on()
            self._tail.cut_off()

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the lines."""
        return frozenset(self._places)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __len__(self) -> int:
        return len(self._places)

    def append(self, key: str, line: bytes) -> None:
        """Write one line, newline included; when this returns, the death of the process cannot lose it."""
        line = seal_line(line)
        self._tail.append(line)
        self._places[key] = (self._tail.end, len(line))
        self._tail.end += len(line)

    def clear(self) -> None:
        """Remove every line."""
        self._tail.end = 0
        with wrap_os_errors(self.path):
            self._tail.cut_off()
        self._places.clear()

    def delete(self) -> None:
        """Remove the file: nothing in it is needed any more."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SharedJsonlLog(_KeyedLines):
    """A file that several processes write and read at the same time; of several lines of one key the first counts.

    A line whose append returned is found by every process that looks for its key afterwards.
    """

    def __init__(self, path: Path) -> None:
        """Raises StorageError where nothing can be written."""
        super().__init__(path, last=False)

    def find(self, key: str) -> dict[str, Any] | None:
        """The line of a key, parsed; None when nobody has written one."""
        if key not in self._places:
            self._read_on()
        line: dict[str, Any] | None = self.read(key) if key in self._places else None
        return line

    def append(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        """Write lines under their keys, leaving out those that are there; all of them or, when this raises, none."""
        with wrap_os_errors(self.path):
            fcntl.flock(self._tail.file, fcntl.LOCK_EX)
            try:
                self._read_on()
                new = (
                    orjson.dumps({"key": key, **line}, option=orjson.OPT_APPEND_NEWLINE)
                    for key, line in lines.items()
                    if key not in self._places
                )
                self._tail.cut_off()
                self._tail.append(b"".join(map(seal_line, new)))
                self._read_on()
            finally:
                fcntl.flock(self._tail.file, fcntl.LOCK_UN)
