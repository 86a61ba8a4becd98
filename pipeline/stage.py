"""The contract between a stage and whoever runs it.

A stage is handed the records of one shard that are still owed and yields one `Outcome` for each, in any order and as
soon as it is done. It never reads a clock, never writes a file, never retries: the runner journals each outcome whole
before it counts, so a stage may be killed at any moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from schemas.funnel import FunnelStep
from schemas.record import Record

In = TypeVar("In", contravariant=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage made of one input: rows of any dataset (rejects are rows too) and the sums over them."""

    key: str
    """Id of the input."""
    rows: tuple[Record, ...]
    """Everything made of it, `Reject` rows included."""
    funnel: tuple[FunnelStep, ...]
    """What entered, passed and was rejected, one step a unit."""


class Stage(Protocol[In]):
    """Turns the records of a shard into outcomes."""

    whole_shard: bool
    """True when outcomes depend on the other records of the shard: the shard is then redone from its start, so only
    cheap stages may say so."""

    def run(self, inputs: Iterable[In]) -> Iterator[Outcome]:
        """Yield exactly one outcome for each input."""
        ...
