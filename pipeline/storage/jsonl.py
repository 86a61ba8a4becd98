"""Append-only files of JSON lines, each with a checksum.

Contract: after `kill -9` at any moment the file has every line whose append returned; the torn last line of a killed
writer is truncated by the next one; a damaged line is skipped, and only that line; memory grows with the keys, not with
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
"""Bytes per read: few, because polling readers mostly find little."""


class JsonlTail:
    """A file that several processes append to, and the position of this reader."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StorageError where nothing can be written."""
        self.path = path
        self.end = 0
        """Offset just past the last line read."""
        with wrap_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        # Closed, and unlocked, also when this is collected: a shard may be retried in this process.
        self.close = weakref.finalize(self, os.close, self.file)
        """Close the file."""

    def read_on(self) -> Iterator[tuple[int, bytes]]:
        """The complete lines since the last read, each with its offset."""
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
        """Write complete lines, all or none. To be called with the file locked and read to its end."""
        with wrap_os_errors(self.path):
            try:
                written = os.write(self.file, content)
                while written < len(content):
                    written += os.write(self.file, content[written:])
            except OSError:
                self.cut_off()
                raise

    def cut_off(self) -> None:
        """Remove an incomplete last line, which would corrupt the next one. Needs no disk space."""
        os.ftruncate(self.file, self.end)


class _KeyedLines:
    """The lines of a file, addressed by their member `key`."""

    def __init__(self, path: Path, *, last: bool) -> None:
        """`last`: whether the last of several lines of a key counts, not the first."""
        self.path = path
        self._last = last
        self._tail = JsonlTail(path)
        self._places: dict[str, tuple[int, int]] = {}
        """Offset and length of the line of each key."""

    def _read_on(self) -> None:
        """Index the complete lines written since the last read."""
        damaged = 0
        for start, line in self._tail.read_on():
            if line.strip():  # `verify --repair` blanks damaged lines
                damaged += not self._index(line, start)
        if damaged:
            log.warning("%s: %d damaged lines are skipped, and their work is done again", self.path, damaged)

    def _index(self, line: bytes, start: int) -> bool:
        """Index a line; whether it is intact."""
        try:
            key = read_line(line)["key"]
        except (ValueError, KeyError, TypeError):
            return False
        if isinstance(key, str) and (self._last or key not in self._places):
            self._places[key] = (start, len(line))
        return isinstance(key, str)

    def read(self, key: str) -> Any:
        """The parsed line of a key. Raises KeyError for an unknown one."""
        start, length = self._places[key]
        with wrap_os_errors(self.path):
            return read_line(os.pread(self._tail.file, length, start))

    def close(self) -> None:
        """Close and unlock the file; also done when this is collected."""
        self._tail.close()


class JsonlLog(_KeyedLines):
    """A file locked by its only writer; of several lines of one key the last counts."""

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
        """Append one line, newline included, durably against the death of the process."""
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
        """Remove the file."""
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
        """The parsed line of a key, if any process has written one."""
        if key not in self._places:
            self._read_on()
        line: dict[str, Any] | None = self.read(key) if key in self._places else None
        return line

    def append(self, lines: Mapping[str, Mapping[str, Any]]) -> None:
        """Append lines under their keys, without those of known keys; all of them or, when this raises, none."""
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
