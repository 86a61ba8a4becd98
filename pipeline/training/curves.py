"""Curve of a training: the metrics of every logged step, over all attempts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from schemas.training import StepMetrics


def read_curve(path: Path) -> tuple[StepMetrics, ...]:
    """Return the logged steps, in order; a repeated step as last logged. Torn lines are ignored."""
    steps = {metrics.step: metrics for metrics in _read_lines(path)}
    return tuple(steps[step] for step in sorted(steps))


def _read_lines(path: Path) -> Iterator[StepMetrics]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            row = json.loads(line)
            step = int(row.pop("step"))
        except (ValueError, KeyError, AttributeError):
            continue
        values = {name: float(value) for name, value in row.items() if _is_number(value)}
        yield StepMetrics(step=step, values=values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
