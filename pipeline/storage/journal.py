"""The journal of one shard: every outcome is appended whole before anyone counts on it.

After `kill -9` at any moment the journal holds every finished outcome; a torn last line is cut off and its input is
owed again. One line is one JSON object: `{"key", "rows": [[dataset, row], ...], "funnel": [...]}`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from pipeline.errors import StorageError
from pipeline.stage import Outcome
from pipeline.storage.boundary import storage_boundary


@dataclass(frozen=True, slots=True)
class JournaledOutcome:
    """An outcome as read back: rows are plain values, ready for Arrow."""

    rows: list[tuple[str, dict[str, Any]]]
    funnel: list[dict[str, Any]]


class Journal:
    """An append-only file of outcomes, addressed by the key of their input."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        with storage_boundary(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._lock()
            self._end = self._recover()

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the inputs that are done."""
        return frozenset(self._places)

    def append(self, outcome: Outcome) -> None:
        """Write one outcome; when this returns, the death of the process cannot lose it."""
        line = encode_outcome(outcome)
        with storage_boundary(self.path):
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        self._places[outcome.key] = (self._end, len(line))
        self._end += len(line)

    def read(self, keys: Iterable[str]) -> Iterator[JournaledOutcome]:
        """The outcomes of the keys, in the order of the keys. Raises KeyError for a key that is not done."""
        for key in keys:
            start, length = self._places[key]
            line = orjson.loads(os.pread(self._file, length, start))
            yield JournaledOutcome([(dataset, row) for dataset, row in line["rows"]], line["funnel"])

    def clear(self) -> None:
        """Forget everything."""
        with storage_boundary(self.path):
            os.ftruncate(self._file, 0)
        self._places.clear()
        self._end = 0

    def delete(self) -> None:
        """Remove the file: its shard is committed."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        """Two writers would mix their lines. The lock dies with its process."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise StorageError(f"{self.path}: another process writes this journal", "wait for it, or stop it") from None

    def _recover(self) -> int:
        """Index the whole lines; cut off what follows the last of them."""
        end = 0
        with self.path.open("rb") as lines:
            for line in lines:
                try:
                    key = orjson.loads(line)["key"] if line.endswith(b"\n") else None
                except orjson.JSONDecodeError:
                    key = None
                if key is None:
                    break
                self._places[key] = (end, len(line))
                end += len(line)
        os.ftruncate(self._file, end)
        return end

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


def encode_outcome(outcome: Outcome) -> bytes:
    """One line, newline included."""
    rows = ",".join(f'["{row.dataset}",{row.model_dump_json()}]' for row in outcome.rows)
    funnel = ",".join(step.model_dump_json() for step in outcome.funnel)
    key = orjson.dumps(outcome.key).decode()
    return f'{{"key":{key},"rows":[{rows}],"funnel":[{funnel}]}}\n'.encode()
