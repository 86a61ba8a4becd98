"""An append-only file of JSON lines, each with a `key` and a checksum: what journals are made of.

After `kill -9` at any moment the file holds every line whose append returned; a torn last line is cut off when the
file is next opened. A line that is damaged is left out, and only that line. One process writes; a lock that dies with
it keeps others out.
"""

from __future__ import annotations

import fcntl
import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.seals import read_line, seal_line

log = logging.getLogger(__name__)


class JsonlLog:
    """Lines addressed by their key; of several lines of one key the last counts."""

    def __init__(self, path: Path, fits: Callable[[dict[str, Any]], bool] = lambda line: True) -> None:
        """`fits`: whether a line without a checksum, as earlier versions wrote it, holds what its readers need."""
        self.path = path
        self._fits = fits
        self._places: dict[str, tuple[int, int]] = {}
        with wrap_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            # Given back, and the lock with it, also when nobody holds this any more: a shard may be tried again here.
            self._closing = weakref.finalize(self, os.close, self._file)
            self._lock()
            self._end = self._recover()

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
        with wrap_os_errors(self.path):
            try:
                written = os.write(self._file, line)
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                # Half a line would swallow the next one. Cutting it off needs no space.
                os.ftruncate(self._file, self._end)
                raise
        self._places[key] = (self._end, len(line))
        self._end += len(line)

    def read(self, key: str) -> Any:
        """The line of a key, parsed. Raises KeyError for an unknown one."""
        start, length = self._places[key]
        return read_line(os.pread(self._file, length, start)).value

    def clear(self) -> None:
        """Forget everything."""
        with wrap_os_errors(self.path):
            os.ftruncate(self._file, 0)
        self._places.clear()
        self._end = 0

    def delete(self) -> None:
        """Remove the file: nothing in it is needed any more."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Two writers would mix their lines. The lock dies with its process."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._closing()
            raise StorageError(f"{self.path}: another process writes this journal", "wait for it, or stop it") from None

    def _recover(self) -> int:
        """Index the whole lines; cut off what follows the last of them. The file is as long then as is returned."""
        end = left_out = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                left_out += bool(line.strip()) and not self._index(line, end)
                end += len(line)
        os.ftruncate(self._file, end)
        if left_out:
            log.warning("%s: %d damaged lines are left out, and what they held is done again", self.path, left_out)
        return end

    def _index(self, line: bytes, start: int) -> bool:
        """Note where a line is; whether it is sound."""
        try:
            found, sealed = read_line(line)
            key = found["key"]
        except (ValueError, KeyError, TypeError):
            return False
        if not isinstance(key, str) or not (sealed or self._fits(found)):
            return False
        if sealed or key not in self._places:
            self._places[key] = (start, len(line))
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing()
