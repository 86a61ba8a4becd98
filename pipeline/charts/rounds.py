"""Geometry of the charts over rounds, in the units of a fixed drawing; the template draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360.0, 208.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 14.0, 40.0
COLOURS = 8
"""Kinds of line and bar that the style knows; more repeat them."""


@dataclass(frozen=True, slots=True)
class Point:
    """A figure of one round."""

    x: float
    y: float
    hint: str


@dataclass(frozen=True, slots=True)
class Line:
    """A figure over the rounds; it is broken where a round has none."""

    name: str
    colour: int
    points: tuple[Point, ...]
    paths: tuple[str, ...]
    """Points of each unbroken stretch, as SVG writes them."""


@dataclass(frozen=True, slots=True)
class StackedPiece:
    """A part of a round's bar."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    hint: str


@dataclass(frozen=True, slots=True)
class AxisTick:
    """A line across, with its value."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class RoundChart:
    """A chart, laid out: lines or bars."""

    title: str
    note: str
    ticks: tuple[AxisTick, ...]
    labels: tuple[tuple[float, str], ...]
    """Where each round's number stands."""
    lines: tuple[Line, ...] = ()
    pieces: tuple[StackedPiece, ...] = ()
    legend: tuple[tuple[str, int], ...] = ()
    summary: str = ""
    """The same in words, for those who cannot see it."""


def lay_lines(title: str, note: str, series: Mapping[str, Sequence[float | None]]) -> RoundChart | None:
    """Lines over the rounds, one a name, from 0 up; None when no round has a figure."""
    shown = {name: values for name, values in series.items() if any(value is not None for value in values)}
    if not shown:
        return None
    top = _choose_top(max(value for values in shown.values() for value in values if value is not None))
    places = _place_rounds(len(next(iter(shown.values()))))
    lines = tuple(_draw_line(n, name, values, places, top) for n, (name, values) in enumerate(shown.items()))
    told = "; ".join(f"{line.name}: {', '.join(point.hint for point in line.points)}" for line in lines)
    legend = tuple((line.name, line.colour) for line in lines)
    return RoundChart(title, note, _mark(top), _label(places), lines, (), legend, f"{title}. {told}")


def lay_shares(title: str, note: str, rounds: Sequence[Mapping[str, float]]) -> RoundChart | None:
    """A bar a round, divided as its parts are to the whole; None when no round has any."""
    names = list(dict.fromkeys(name for parts in rounds for name in parts))
    if not names:
        return None
    names.sort(key=lambda name: (0, int(name), "") if name.isdigit() else (1, 0, name))
    places = _place_rounds(len(rounds))
    width = min(46.0, 0.7 * (WIDTH - LEFT - RIGHT) / len(rounds))
    pieces: list[StackedPiece] = []
    for number, (parts, x) in enumerate(zip(rounds, places, strict=True)):
        whole, at = sum(parts.values()), HEIGHT - BOTTOM
        for colour, name in enumerate(names):
            share = parts.get(name, 0.0) / whole if whole else 0.0
            if share:
                height = share * (HEIGHT - TOP - BOTTOM)
                at -= height
                hint = f"round {number}, {name}: {share:.1%}"
                left, top = round(x - width / 2, 1), round(at, 1)
                pieces.append(StackedPiece(left, top, round(width, 1), round(height, 1), colour % COLOURS, hint))
    legend = tuple((name, colour % COLOURS) for colour, name in enumerate(names))
    told = "; ".join(piece.hint for piece in pieces)
    return RoundChart(title, note, _mark(1.0), _label(places), (), tuple(pieces), legend, f"{title}. {told}")


def _draw_line(number: int, name: str, values: Sequence[float | None], places: Sequence[float], top: float) -> Line:
    points: list[Point] = []
    stretches: list[list[str]] = [[]]
    for at, (value, x) in enumerate(zip(values, places, strict=True)):
        if value is None:
            stretches.append([])
            continue
        y = round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM), 1)
        points.append(Point(x, y, f"round {at} {value:.3f}"))
        stretches[-1].append(f"{x},{y}")
    return Line(name, number % COLOURS, tuple(points), tuple(" ".join(s) for s in stretches if len(s) > 1))


def _place_rounds(count: int) -> tuple[float, ...]:
    slot = (WIDTH - LEFT - RIGHT) / count
    return tuple(round(LEFT + slot * (number + 0.5), 1) for number in range(count))


def _label(places: Sequence[float]) -> tuple[tuple[float, str], ...]:
    every = math.ceil(len(places) / 12)
    return tuple((x, str(number)) for number, x in enumerate(places) if number % every == 0)


def _choose_top(largest: float) -> float:
    """1, 2 or 5 times a power of ten, no less than the largest figure."""
    if largest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(largest))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= largest - 1e-12)


def _mark(top: float) -> tuple[AxisTick, ...]:
    unit = (HEIGHT - TOP - BOTTOM) / 4
    return tuple(AxisTick(round(HEIGHT - BOTTOM - n * unit, 1), f"{n * top / 4:g}") for n in range(5))
