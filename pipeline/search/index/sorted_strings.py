"""Sorted strings on disk: written as a stream, found by bisection in a memory map.

Guarantees: neither writing nor opening holds the strings in memory; the order is that of the UTF-8 bytes.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

BYTES = ".bytes"
ENDS = ".ends.npy"
BUFFERED = 1 << 16


class SortedStringsWriter:
    """A writer of strings, which must be appended in order."""

    def __init__(self, stem: Path) -> None:
        self._stem = stem
        self._ends: list[np.ndarray] = [np.zeros(1, np.int64)]
        self._buffer: list[bytes] = []
        self._file = stem.with_name(stem.name + BYTES).open("wb")

    def append(self, string: bytes) -> None:
        """Add the next string."""
        self._buffer.append(string)
        if len(self._buffer) >= BUFFERED:
            self._flush()

    def _flush(self) -> None:
        if self._buffer:
            self._file.write(b"".join(self._buffer))
            ends = np.cumsum(np.fromiter(map(len, self._buffer), np.int64, len(self._buffer)))
            self._ends.append(ends + self._ends[-1][-1])
            self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self._flush()
            np.save(self._stem.with_name(self._stem.name + ENDS), np.concatenate(self._ends))
        self._file.close()


class SortedStrings:
    """A mapping between strings and their numbers in order."""

    def __init__(self, stem: Path) -> None:
        ends = np.load(stem.with_name(stem.name + ENDS), mmap_mode="r")
        self._ends = np.asarray(ends).data
        path = stem.with_name(stem.name + BYTES)
        with path.open("rb") as file:
            empty = path.stat().st_size == 0  # an empty file cannot be mapped
            self._bytes = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[bytes]:
        return map(self.at, range(len(self)))

    def at(self, number: int) -> bytes:
        """The string of a number."""
        return bytes(self._bytes[self._ends[number] : self._ends[number + 1]])

    def find(self, string: str) -> int | None:
        """The number of a string, or None."""
        key = string.encode("utf-8", "replace")
        low, high, ends, data = 0, len(self), self._ends, self._bytes
        while low < high:
            middle = (low + high) // 2
            if data[ends[middle] : ends[middle + 1]] < key:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self) and self.at(low) == key else None
