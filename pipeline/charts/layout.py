"""Charts as geometry in the units of a fixed drawing: histograms, and lines and shares over rounds.

The template `chart.html` draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360.0, 208.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 8.0, 18.0, 44.0
BAR_WIDTH = 46.0
MAX_LABELS = 11
MAX_VALUES = 8
"""Maximum number of bars with their counts above them."""
COLOURS = 8
"""Colours of the style sheet; further lines and parts reuse them."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram."""

    label: str
    """Category, or lower bound of the bin."""
    count: int
    accepted: int | None
    """Items of accepted trajectories among them; None where that has no meaning."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Binned distribution."""

    title: str
    axis: str
    """Meaning of the bars, with its unit."""
    counted: str
    """What is counted, plural."""
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Rect:
    """Rectangle of one style: `plain`, `rest`, `kept`, or `piece` with a colour."""

    style: str
    x: float
    y: float
    width: float
    height: float
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One bar with its texts, or the stacked parts of one round."""

    middle: float
    top: float
    rects: tuple[Rect, ...]
    label: str
    value: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """Value of one round."""

    x: float
    y: float
    hint: str


@dataclass(frozen=True, slots=True)
class Line:
    """Values over the rounds; interrupted at rounds without one."""

    name: str
    colour: int
    points: tuple[Point, ...]
    paths: tuple[str, ...]
    """Points of each uninterrupted stretch, in SVG syntax."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Horizontal grid line with its value."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, laid out."""

    title: str
    note: str
    axis: str
    ticks: tuple[Tick, ...]
    columns: tuple[Column, ...]
    summary: str
    """The same in words, for screen readers."""
    lines: tuple[Line, ...] = ()
    legend: tuple[tuple[str, int], ...] = ()
    """Names with their colours."""


def lay_histogram(histogram: Histogram) -> Chart:
    """Lay out the bars from left to right; the accepted part of each is drawn over it."""
    bars = histogram.bars
    top, step = _choose_scale(max(bar.count for bar in bars), 1)
    width, split = _measure_bars(len(bars), 0.78), any(bar.accepted is not None for bar in bars)
    columns = []
    for bar, middle, labelled in zip(bars, *_place_columns(len(bars)), strict=True):
        rects = [_stack("rest" if split else "plain", middle, width, 0, bar.count / top)]
        rects += [_stack("kept", middle, width, 0, (bar.accepted or 0) / top)] if split else []
        hint = f"{bar.label}: {bar.count:,} {histogram.counted}"
        hint += f", {bar.accepted:,} accepted" if bar.accepted is not None else ""
        label = bar.label.replace("_", " ") if labelled else ""
        value = _shorten(bar.count) if len(bars) <= MAX_VALUES else ""
        columns.append(Column(middle, rects[0].y, tuple(rects), label, value, hint))
    ticks = _mark_ticks(top, step, _shorten)
    summary = f"{histogram.title}. " + "; ".join(column.hint for column in columns)
    return Chart(histogram.title, histogram.counted, histogram.axis, ticks, tuple(columns), summary)


def lay_lines(title: str, note: str, series: Mapping[str, Sequence[float | None]]) -> Chart | None:
    """Lay out one line per name over the rounds, from 0 up; None when no round has a value."""
    shown = {name: values for name, values in series.items() if any(value is not None for value in values)}
    if not shown:
        return None
    top, step = _choose_scale(max(value for values in shown.values() for value in values if value is not None))
    columns = _number_rounds([()] * len(next(iter(shown.values()))))
    lines = tuple(_lay_line(n, name, values, columns, top) for n, (name, values) in enumerate(shown.items()))
    summary = "; ".join(f"{line.name}: {', '.join(point.hint for point in line.points)}" for line in lines)
    legend = tuple((line.name, line.colour) for line in lines)
    return Chart(
        title, note, "round", _mark_ticks(top, step, "{:g}".format), columns, f"{title}. {summary}", lines, legend
    )


def lay_shares(title: str, note: str, rounds: Sequence[Mapping[str, float]]) -> Chart | None:
    """Lay out one bar per round, divided in proportion to its parts; None when no round has any."""
    names = list(dict.fromkeys(name for parts in rounds for name in parts))
    if not names:
        return None
    names.sort(key=lambda name: (0, int(name), "") if name.isdigit() else (1, 0, name))
    width, (middles, _) = _measure_bars(len(rounds), 0.7), _place_columns(len(rounds))
    stacks: list[tuple[Rect, ...]] = []
    for number, (parts, middle) in enumerate(zip(rounds, middles, strict=True)):
        whole, below, rects = sum(parts.values()), 0.0, []
        for colour, name in enumerate(names):
            if share := parts.get(name, 0.0) / whole if whole else 0.0:
                hint = f"round {number}, {name}: {share:.1%}"
                rects.append(_stack(f"piece c{colour % COLOURS}", middle, width, below, share, hint))
                below += share
        stacks.append(tuple(rects))
    ticks = _mark_ticks(1.0, 0.25, "{:g}".format)
    legend = tuple((name, colour % COLOURS) for colour, name in enumerate(names))
    summary = "; ".join(rect.hint for rects in stacks for rect in rects)
    return Chart(title, note, "round", ticks, _number_rounds(stacks), f"{title}. {summary}", (), legend)


def _lay_line(number: int, name: str, values: Sequence[float | None], columns: Sequence[Column], top: float) -> Line:
    points: list[Point] = []
    stretches: list[list[str]] = [[]]
    for at, (value, column) in enumerate(zip(values, columns, strict=True)):
        if value is None:
            stretches.append([])
            continue
        point = Point(column.middle, _place_height(value / top), f"round {at} {value:.3f}")
        points.append(point)
        stretches[-1].append(f"{point.x},{point.y}")
    return Line(name, number % COLOURS, tuple(points), tuple(" ".join(s) for s in stretches if len(s) > 1))


def _number_rounds(stacks: Sequence[tuple[Rect, ...]]) -> tuple[Column, ...]:
    places = zip(stacks, *_place_columns(len(stacks)), strict=True)
    return tuple(
        Column(middle, TOP, rects, str(number) if labelled else "")
        for number, (rects, middle, labelled) in enumerate(places)
    )


def _place_columns(count: int) -> tuple[list[float], list[bool]]:
    """The middle of each column, and whether there is room for its label."""
    slot, every = (WIDTH - LEFT - RIGHT) / count, math.ceil(count / MAX_LABELS)
    return [round(LEFT + slot * (n + 0.5), 1) for n in range(count)], [n % every == 0 for n in range(count)]


def _measure_bars(count: int, share: float) -> float:
    """The width of bars that take a share of their columns."""
    return round(min(share * (WIDTH - LEFT - RIGHT) / count, BAR_WIDTH), 1)


def _place_height(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _stack(style: str, middle: float, width: float, below: float, share: float, hint: str = "") -> Rect:
    """A rectangle of a share of the axis, on top of the share `below`."""
    height = round(share * (HEIGHT - TOP - BOTTOM), 1)
    return Rect(style, round(middle - width / 2, 1), _place_height(below + share), width, height, hint)


def _choose_scale(largest: float, least: float = 0.0) -> tuple[float, float]:
    """The top of the axis and the distance of its ticks, `least` or more: about four ticks, 1, 2 or 5 times a power
    of ten apart."""
    rough = max((largest or 1.0) / 4, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough - 1e-12)
    return step * max(1, math.ceil(largest / step - 1e-9)), step


def _mark_ticks(top: float, step: float, write: Callable[[float], str]) -> tuple[Tick, ...]:
    return tuple(Tick(_place_height(n * step / top), write(n * step)) for n in range(round(top / step) + 1))


def _shorten(count: float) -> str:
    if count < 10_000:
        return f"{count:,.0f}"
    return f"{count / 1000:,.0f}k" if count < 10_000_000 else f"{count / 1_000_000:,.0f}M"
