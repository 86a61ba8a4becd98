"""Distributions of the attempts that match a filter; every bar is a link that restricts the filter to it."""

# ruff: noqa: S608  # SQL consists of constants; outside text is passed as parameters
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.charts.layout import Bar, Chart, Histogram, lay_histogram
from pipeline.inspecting.attempt_filter import AttemptFilter
from pipeline.inspecting.attempt_pages import narrow
from pipeline.inspecting.readonly_database import ReadonlyDatabase

MAX_BARS = 24
KINDS = "unnest(string_split(a.kinds, '+'))"
TENTH = "floor({} * 10 + 1e-6)::INT"


@dataclass(frozen=True, slots=True)
class LinkedChart:
    """Chart with the query string of each bar's link."""

    chart: Chart
    links: list[str]


@dataclass(frozen=True, slots=True)
class _Axis:
    """Key of a distribution."""

    title: str
    axis: str
    key: str
    """SQL over `attempts a`."""
    narrow: Callable[[Any], dict[str, Any]]
    """Fields of the filter that a bar sets."""
    label: Callable[[Any], str] = str
    min_bars: int = 1
    """Number of bars from which the chart is shown."""


def _tenth(low: str, high: str) -> Callable[[int], dict[str, Any]]:
    return lambda n: {low: n / 10, high: round(n / 10 + 0.0999, 4) if n < 10 else None}


AXES = (
    _Axis("Masks", "masks", "a.masks", lambda n: {"masks": n}),
    _Axis("Kinds of mask", "kind; a task may have several", KINDS, lambda n: {"kind": n}),
    _Axis(
        "Difficulty", "mean over masks, from", TENTH.format("a.difficulty"),
        lambda n: {"min_difficulty": n / 10, "max_difficulty": (n + 1) / 10}, lambda n: f"{n / 10:.1f}",
    ),
    _Axis("Turns", "turns taken", "a.turns", lambda n: {"turns": n}),
    _Axis("What was hidden", "hide mode", "a.hide", lambda n: {"hide": n}),
    _Axis("What showed the answers", "shown by", "a.shown_by", lambda n: {"shown_by": n}),
    _Axis("Why they stopped", "stop reason", "a.stop_reason", lambda n: {"stop": n}),
    _Axis("Why they were rejected", "reason", "a.reason", lambda n: {"reason": n}),
    _Axis(
        "Token F1", "mean over masks, from", TENTH.format("a.f1"), _tenth("min_f1", "max_f1"), lambda n: f"{n / 10:.1f}"
    ),
    _Axis(
        "Cost", "money, from", "CASE WHEN a.cost > 0 THEN floor(log2(a.cost))::INT END",
        lambda n: {"min_cost": 2.0**n, "max_cost": 2.0 ** (n + 1)}, lambda n: f"{2.0**n:.2g}",
    ),
    _Axis("Who attempted", "policy", "a.policy", lambda n: {"policy": n}),
    _Axis("Rounds", "round", "a.round", lambda n: {"round": n}, min_bars=2),
)  # fmt: skip


def lay_charts(database: ReadonlyDatabase, filters: AttemptFilter) -> list[LinkedChart]:
    """All charts with data."""
    condition, values = narrow(database, filters)
    charts = []
    for axis in AXES:
        rows = database.query(
            f"SELECT {axis.key} AS bin, count(*), count_if(a.accepted) FROM attempts a WHERE {condition} "
            f"GROUP BY bin HAVING bin IS NOT NULL AND CAST(bin AS VARCHAR) <> '' ORDER BY bin LIMIT {MAX_BARS}",
            values,
        ).rows
        if len(rows) < axis.min_bars:
            continue
        bars = tuple(Bar(axis.label(key), count, accepted) for key, count, accepted in rows)
        chart = lay_histogram(Histogram(axis.title, axis.axis, "attempts", bars))
        charts.append(LinkedChart(chart, [filters.as_query(**axis.narrow(key)) for key, _, _ in rows]))
    return charts
