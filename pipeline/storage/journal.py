"""The journal of one shard: every outcome is appended whole before anyone counts on it.

After `kill -9` at any moment the journal holds every finished outcome; a torn last line is cut off and its input is
owed again, as is that of a damaged line. One line is one JSON object: `{"key", "rows": [[dataset, row], ...],
"funnel": [...]}`, sealed by a checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from pipeline.stage import Outcome
from pipeline.storage.jsonl import JsonlLog


@dataclass(frozen=True, slots=True)
class JournaledOutcome:
    """An outcome as read back: rows are plain values, ready for Arrow."""

    rows: list[tuple[str, dict[str, Any]]]
    funnel: list[dict[str, Any]]


class Journal:
    """An append-only file of outcomes, addressed by the key of their input."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = JsonlLog(path)

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the inputs that are done."""
        return self._log.keys

    def append(self, outcome: Outcome) -> None:
        """Write one outcome; when this returns, the death of the process cannot lose it."""
        self._log.append(outcome.key, encode_outcome(outcome))

    def read(self, keys: Iterable[str]) -> Iterator[JournaledOutcome]:
        """The outcomes of the keys, in the order of the keys. Raises KeyError for a key that is not done."""
        for key in keys:
            line = self._log.read(key)
            yield JournaledOutcome([(dataset, row) for dataset, row in line["rows"]], line["funnel"])

    def clear(self) -> None:
        """Forget everything."""
        self._log.clear()

    def delete(self) -> None:
        """Remove the file: its shard is committed."""
        self._log.delete()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit: object) -> None:
        self._log.close()


def encode_outcome(outcome: Outcome) -> bytes:
    """One line, newline included."""
    rows = ",".join(f'["{row.dataset}",{row.model_dump_json()}]' for row in outcome.rows)
    funnel = ",".join(step.model_dump_json() for step in outcome.funnel)
    key = orjson.dumps(outcome.key).decode()
    return f'{{"key":{key},"rows":[{rows}],"funnel":[{funnel}]}}\n'.encode()
