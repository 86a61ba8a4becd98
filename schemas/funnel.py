"""What a stage dropped, and the sums that prove nothing was dropped in silence."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import model_validator

from schemas.record import Frozen, Record


class Reject(Record):
    """One thing that a stage dropped, and why."""

    dataset: ClassVar[str] = "rejects"
    id_field: ClassVar[str] = "input_id"

    stage: str
    """The stage that dropped it."""
    unit: str
    """What kind of thing it was: page, passage, span, task or trajectory."""
    input_id: str
    """Id of the thing (of its passage and offsets, for a span)."""
    reason: str
    """Reason code: lower case, underscores."""
    detail: str
    """One line for a person; may be empty."""


class FunnelStep(Frozen):
    """Sums of one unit through one stage: what entered either passed or was rejected for a named reason."""

    stage: str
    """The stage."""
    unit: str
    """What is counted."""
    entered: int
    """How many came in."""
    passed: int
    """How many went on."""
    rejected: dict[str, int]
    """How many were dropped, by reason code."""
    compares: bool = False
    """Two ways to the same thing: those on which they agree passed, the others are named, and nothing is dropped."""

    @model_validator(mode="after")
    def _sums(self) -> Self:
        if self.entered != self.passed + sum(self.rejected.values()):
            raise ValueError(
                f"{self.stage}: {self.entered} {self.unit}s entered, {self.passed} passed, {self.rejected}"
            )
        return self

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
