"""Geometry of the histograms, in the units of a fixed drawing; the template draws it."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 360.0, 208.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 6.0, 18.0, 44.0
MAX_LABELS = 11
VALUES_UP_TO = 8
"""Above so many bars the counts would not fit over them."""


@dataclass(frozen=True, slots=True)
class DrawnBar:
    """A bar with its place."""

    x: float
    width: float
    y: float
    height: float
    accepted_y: float
    accepted_height: float
    middle: float
    label: str
    value: str
    hint: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, with its value."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """A histogram, laid out."""

    histogram: Histogram
    bars: tuple[DrawnBar, ...]
    ticks: tuple[Tick, ...]
    split: bool
    """Bars show the accepted part."""
    summary: str
    """The same in words, for those who cannot see it."""


def lay_out(histogram: Histogram) -> BarChart:
    """Place every bar, label and tick."""
    top, step = _choose_scale(max(bar.count for bar in histogram.bars))
    slot = (WIDTH - LEFT - RIGHT) / len(histogram.bars)
    width = min(slot * 0.78, 46.0)
    every = math.ceil(len(histogram.bars) / MAX_LABELS)
    split = any(bar.accepted is not None for bar in histogram.bars)
    unit = (HEIGHT - TOP - BOTTOM) / top
    base = HEIGHT - BOTTOM
    bars = []
    for number, bar in enumerate(histogram.bars):
        middle = LEFT + slot * (number + 0.5)
        height, accepted = bar.count * unit, (bar.accepted or 0) * unit
        hint = f"{bar.label}: {bar.count:,} {histogram.counted}"
        bars.append(
            DrawnBar(
                x=round(middle - width / 2, 1),
                width=round(width, 1),
                y=round(base - height, 1),
                height=round(height, 1),
                accepted_y=round(base - accepted, 1),
                accepted_height=round(accepted, 1),
                middle=round(middle, 1),
                label=bar.label.replace("_", " ") if number % every == 0 else "",
                value=_shorten(bar.count) if len(histogram.bars) <= VALUES_UP_TO else "",
                hint=hint + (f", {bar.accepted:,} accepted" if bar.accepted is not None else ""),
            )
        )
    ticks = tuple(Tick(round(base - n * step * unit, 1), _shorten(n * step)) for n in range(round(top / step) + 1))
    summary = f"{histogram.title}. " + "; ".join(bar.hint for bar in bars)
    return BarChart(histogram, tuple(bars), ticks, split, summary)


def _choose_scale(largest: int) -> tuple[int, int]:
    """The top of the axis and the distance of its ticks: 1, 2 or 5 times a power of ten, four ticks or so."""
    rough = max(largest, 1) / 4
    power = 10 ** math.floor(math.log10(rough)) if rough >= 1 else 1
    step = max(1, next(int(power * n) for n in (1, 2, 5, 10) if power * n >= rough))
    return step * math.ceil(max(largest, 1) / step), step


def _shorten(count: int) -> str:
    if count < 10_000:
        return f"{count:,}"
    return f"{count / 1000:,.0f}k" if count < 10_000_000 else f"{count / 1_000_000:,.0f}M"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram."""

    label: str
    """The category, or the bin's lower bound."""
    count: int
    """How many."""
    accepted: int | None
    """How many of them belong to accepted trajectories; None where that has no meaning."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution, binned."""

    title: str
    """What is shown, as a heading."""
    axis: str
    """What the bars stand for, with its unit."""
    counted: str
    """What is counted, plural."""
    bars: tuple[Bar, ...]
    """From left to right."""
