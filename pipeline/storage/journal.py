"""Journal of one shard: the outcomes of its inputs, one line each.

Contract: after `kill -9` at any moment the journal has every finished outcome; a torn last line is truncated, and its
input is processed again, as is that of a damaged line. A line is a JSON object `{"key", "rows": [[dataset, row], ...],
"funnel": [...]}` with a checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.stage import Outcome
from pipeline.storage.jsonl import JsonlLog


@dataclass(frozen=True, slots=True)
class JournaledOutcome:
    """An outcome as read back, with rows as plain values."""

    rows: list[tuple[str, dict[str, Any]]]
    funnel: list[dict[str, Any]]


class Journal(JsonlLog):
    """A log of outcomes by the key of their input."""

    def record(self, outcome: Outcome) -> None:
        """Append an outcome durably."""
        self.append(outcome.key, encode_outcome(outcome))

    def read_outcomes(self, keys: Iterable[str]) -> Iterator[JournaledOutcome]:
        """The outcomes of the keys, in order. Raises KeyError for an unknown key."""
        for line in map(self.read, keys):
            yield JournaledOutcome([(dataset, row) for dataset, row in line["rows"]], line["funnel"])


def encode_outcome(outcome: Outcome) -> bytes:
    """The line of an outcome, newline included."""
    rows = ",".join(f'["{row.dataset}",{row.model_dump_json()}]' for row in outcome.rows)
    funnel = ",".join(step.model_dump_json() for step in outcome.funnel)
    key = orjson.dumps(outcome.key).decode()
    return f'{{"key":{key},"rows":[{rows}],"funnel":[{funnel}]}}\n'.encode()
