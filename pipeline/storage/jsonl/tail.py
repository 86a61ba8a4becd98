"""A file of lines that grows at its end, written and read by several processes: one's hold on it.

Promises: every whole line is given once, whoever wrote it; a line still without its end waits; memory does not grow
with the file.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from pipeline.storage.files import wrap_os_errors

BLOCK = 1 << 16
"""Bytes read at once. Some look at every call, and most often there is next to nothing: more would cost more."""


class JsonlTail:
    """The file, and how far it has been read."""

    def __init__(self, path: Path) -> None:
        """Open the file, made when it is not there. Raises StorageError where nothing can be written."""
        self.path = path
        self.end = 0
        """Offset just past the last line that was given."""
        with wrap_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._closing = weakref.finalize(self, os.close, self.file)

    def read_on(self) -> Iterator[tuple[int, bytes]]:
        """The lines that are new since the last reading, each with its offset."""
        rest = b""
        while True:
            with wrap_os_errors(self.path):
                block = os.pread(self.file, BLOCK, self.end + len(rest))
            rest += block
            whole = rest[: rest.rfind(b"\n") + 1]
            rest = rest[len(whole) :]
            for line in whole.splitlines(keepends=True):
                start, self.end = self.end, self.end + len(line)
                yield start, line
            if len(block) < BLOCK:
                return

    def close(self) -> None:
        """Give the file back; also done when nobody holds this any more."""
        self._closing()
