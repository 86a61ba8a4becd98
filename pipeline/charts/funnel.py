"""Layout of the funnel: for each step how many items entered and passed, and the reasons for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.funnel import FunnelStep, pluralise


@dataclass(frozen=True, slots=True)
class Loss:
    """Items dropped for one reason."""

    reason: str
    count: int
    share: float
    """Of what entered the step."""
    width: float
    """Its share relative to the largest share of any reason in any step; 0 to 100."""


@dataclass(frozen=True, slots=True)
class FunnelBand:
    """Step of the funnel, drawn as a band that narrows from `top` to `bottom` (0 to 100, of its unit's first)."""

    stage: str
    units: str
    """What is counted, plural."""
    entered: int
    passed: int
    lost: int
    share: float
    """Passed of entered."""
    top: float
    bottom: float
    losses: tuple[Loss, ...]
    bridge: str
    """Relation of this unit to the one before; empty within a unit."""


def lay_funnel(steps: Sequence[FunnelStep]) -> tuple[FunnelBand, ...]:
    """Lay out the steps in order. Widths are relative to the first step of a unit; a change of unit restarts them."""
    bands: list[FunnelBand] = []
    first = 1
    most = max((n / step.entered for step in steps for n in step.rejected.values() if n), default=1.0)
    for number, step in enumerate(steps):
        before = steps[number - 1] if number else None
        bridge = ""
        if before is None or before.unit != step.unit or step.entered > first:
            first = max(step.entered, 1)
            bridge = _bridge(before, step) if before else ""
        ordered = sorted(step.rejected.items(), key=lambda item: (-item[1], item[0]))
        entered = max(step.entered, 1)
        bands.append(
            FunnelBand(
                stage=step.stage,
                units=pluralise(step.unit),
                entered=step.entered,
                passed=step.passed,
                lost=step.entered - step.passed,
                share=step.passed / entered,
                top=round(100 * step.entered / first, 2),
                bottom=round(100 * step.passed / first, 2),
                losses=tuple(Loss(r, n, n / entered, round(100 * n / entered / most, 1)) for r, n in ordered if n),
                bridge=bridge,
            )
        )
    return tuple(bands)


def _bridge(before: FunnelStep, step: FunnelStep) -> str:
    if not before.passed or before.unit == step.unit:
        return ""
    sources = before.looked_at if before.stage == step.stage else before.passed
    ratio = step.entered / sources
    if ratio >= 1:
        return f"{ratio:,.1f} {pluralise(step.unit)} from each {before.unit}"
    return f"{step.entered:,} {pluralise(step.unit)} from {sources:,} {pluralise(before.unit)}"
