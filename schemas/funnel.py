"""The funnel: items that a stage dropped, and the totals that prove that nothing was dropped silently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import model_validator

from schemas.record import Frozen, Record

NOT_SAMPLED = "not_sampled"
"""Reason of items that a sample left out unread."""


def pluralise(unit: str) -> str:
    """The plural of a unit: pages, trajectories."""
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


class Reject(Record):
    """Item that a stage dropped, with the reason."""

    dataset: ClassVar[str] = "rejects"
    id_field: ClassVar[str] = "input_id"

    stage: str
    """Stage that dropped it."""
    unit: str
    """Kind of the item: page, passage, span, task or trajectory."""
    input_id: str
    """Id of the item (for a span, of its passage and offsets)."""
    reason: str
    """Reason code: lower case, underscores."""
    detail: str
    """One line for a person; may be empty."""


class FunnelStep(Frozen):
    """Totals of one unit through one stage: each item that entered passed or was rejected for a named reason."""

    stage: str
    """Name of the stage."""
    unit: str
    """Kind of the items counted."""
    entered: int
    """Items that entered."""
    passed: int
    """Items that passed."""
    rejected: dict[str, int]
    """Items that were rejected, by reason code."""
    compares: bool = False
    """Comparison of two ways to the same thing: agreements count as passed, disagreements are named, nothing is
    dropped."""

    @classmethod
    def count(cls, stage: str, unit: str, passed: int, rejected: Mapping[str, int]) -> FunnelStep:
        """Return the totals of a unit; what entered is the sum of what passed and what was rejected."""
        entered = passed + sum(rejected.values())
        return cls(stage=stage, unit=unit, entered=entered, passed=passed, rejected=dict(rejected))

    @model_validator(mode="after")
    def _sums(self) -> Self:
        if self.entered != self.passed + sum(self.rejected.values()):
            raise ValueError(
                f"{self.stage}: {self.entered} {self.unit}s entered, {self.passed} passed, {self.rejected}"
            )
        return self

    @property
    def looked_at(self) -> int:
        """Return the number of items that no sample left out."""
        return self.entered - self.rejected.get(NOT_SAMPLED, 0)

    def __add__(self, other: FunnelStep) -> FunnelStep:
        if (self.stage, self.unit) != (other.stage, other.unit):
            raise ValueError(f"cannot add {other.stage}/{other.unit} to {self.stage}/{self.unit}")
        reasons = sorted({*self.rejected, *other.rejected})
        return FunnelStep(
            stage=self.stage,
            unit=self.unit,
            entered=self.entered + other.entered,
            passed=self.passed + other.passed,
            rejected={r: self.rejected.get(r, 0) + other.rejected.get(r, 0) for r in reasons},
            compares=self.compares,
        )
