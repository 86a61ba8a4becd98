"""Layout of the chart of metrics: a panel for each metric, a bar with a whisker for each evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.tables import HEADINGS
from schemas.evaluations import EvalGroup, EvaluationResult, Metric

WIDTH, LEFT, RIGHT = 560.0, 200.0, 74.0
TOP, ROW, BAR, FOOT = 8.0, 30.0, 16.0, 24.0
LABEL_CHARS = 30
TICKS = (0, 25, 50, 75, 100)


@dataclass(frozen=True, slots=True)
class IntervalBar:
    """Bar with its whisker, in the units of the drawing."""

    label: str
    y: float
    width: float
    low: float
    high: float
    value: str
    hint: str


@dataclass(frozen=True, slots=True)
class Panel:
    """Chart of one metric."""

    title: str
    height: float
    bars: tuple[IntervalBar, ...]
    summary: str
    """The same in words, for screen readers."""


def lay_out(results: Sequence[EvaluationResult]) -> tuple[Panel, ...]:
    """A panel for each metric of the evaluations."""
    bars = [(_label(result, group, len(results) > 1), group) for result in results for group in result.groups]
    return tuple(
        _lay_out_panel(
            HEADINGS[metric], [(label, group.metrics[metric]) for label, group in bars if metric in group.metrics]
        )
        for metric in HEADINGS
        if any(metric in group.metrics for _, group in bars)
    )


def place(share: float) -> float:
    """Horizontal position of a share from 0 to 1."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _label(result: EvaluationResult, group: EvalGroup, several: bool) -> str:
    label = f"{result.name}: {group.name}" if several and len(result.groups) > 1 else group.name
    label = result.name if several and len(result.groups) == 1 else label
    return label if len(label) <= LABEL_CHARS else label[: LABEL_CHARS - 1] + "…"


def _lay_out_panel(title: str, measured: Sequence[tuple[str, Metric]]) -> Panel:
    bars = []
    for number, (label, metric) in enumerate(measured):
        interval = f"{100 * metric.mean:.1f}% ({100 * metric.low:.1f} to {100 * metric.high:.1f})"
        bars.append(
            IntervalBar(
                label=label,
                y=round(TOP + ROW * number, 1),
                width=round(place(metric.mean) - LEFT, 1),
                low=place(metric.low),
                high=place(metric.high),
                value=f"{100 * metric.mean:.1f}",
                hint=f"{label}: {interval}",
            )
        )
    height = TOP + ROW * len(bars) + FOOT
    return Panel(title, height, tuple(bars), f"{title}. " + "; ".join(bar.hint for bar in bars))
