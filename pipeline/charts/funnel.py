"""The funnel, laid out: for each step what entered, what went on, and where the rest went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.funnel import FunnelStep


@dataclass(frozen=True, slots=True)
class Loss:
    """What one reason took."""

    reason: str
    count: int
    share: float
    """Of what entered the step."""
    width: float
    """Its share, of the largest share that any reason took in any step; 0 to 100."""


@dataclass(frozen=True, slots=True)
class DrawnStep:
    """One step of the funnel, drawn as a band that narrows from `top` to `bottom` (0 to 100, of its unit's first)."""

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
    """How this step's unit follows from the one before; empty inside a unit."""


def draw_funnel(steps: Sequence[FunnelStep]) -> tuple[DrawnStep, ...]:
    """Lay out the steps in order. Widths compare within a run of one unit; where the unit changes they start afresh."""
    drawn: list[DrawnStep] = []
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
        drawn.append(
            DrawnStep(
                stage=step.stage,
                units=name_several(step.unit),
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
    return tuple(drawn)


def _bridge(before: FunnelStep, step: FunnelStep) -> str:
    if not before.passed or before.unit == step.unit:
        return ""
    ratio = step.entered / before.passed
    if ratio >= 1:
        return f"{ratio:,.1f} {name_several(step.unit)} from each {before.unit}"
    return f"{step.entered:,} {name_several(step.unit)} from {before.passed:,} {name_several(before.unit)}"


def name_several(unit: str) -> str:
    """The plural of a unit: pages, trajectories."""
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
