"""Comparison of two runs: settings, rows, funnel, and acceptance.

Guarantees: runs with different search engines are compared only when forced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.summary import Summary
from pipeline.report.page import flatten_settings
from schemas.funnel import pluralise

ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of one value; None where a run lacks it."""

    what: str
    left: str | None
    right: str | None


@dataclass(frozen=True, slots=True)
class RateChange:
    """Acceptance of the attempts with one hide mode and mask count in both runs."""

    hide: str
    masks: int
    """0 stands for all."""
    left: tuple[int, int]
    """Accepted, attempts."""
    right: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RunDiff:
    """All differences."""

    left: str
    right: str
    settings: tuple[Difference, ...]
    rows: tuple[Difference, ...]
    funnel: tuple[Difference, ...]
    acceptance: tuple[RateChange, ...]


def compare_runs(left: Summary, right: Summary, force: bool) -> RunDiff:
    """Compare two runs. Raises InspectError when the engines differ, unless `force` is set."""
    engines = [side.record.fingerprints.get(ENGINE) if side.record else None for side in (left, right)]
    if all(engines) and engines[0] != engines[1] and not force:
        raise InspectError(
            f"the runs searched with different engines ({engines[0]}, {engines[1]}): their results do not compare",
            "--force compares them all the same",
        )
    sides = (left, right)
    settings, rows, funnel = (
        tuple(_differ(*(pick(side) for side in sides))) for pick in (_read_settings, _read_rows, _read_funnel)
    )
    rates = [{(row.hide, row.masks): (row.accepted, row.attempts) for row in side.acceptance} for side in sides]
    acceptance = tuple(
        RateChange(hide, masks, rates[0].get((hide, masks), (0, 0)), rates[1].get((hide, masks), (0, 0)))
        for hide, masks in sorted({*rates[0], *rates[1]})
    )
    return RunDiff(left.path, right.path, settings, rows, funnel, acceptance)


def _differ(left: Mapping[str, str], right: Mapping[str, str]) -> Iterator[Difference]:
    for key in dict.fromkeys([*left, *right]):
        if left.get(key) != right.get(key):
            yield Difference(key, left.get(key), right.get(key))


def _read_settings(side: Summary) -> dict[str, str]:
    return dict(flatten_settings(side.record.config)) if side.record else {}


def _read_rows(side: Summary) -> dict[str, str]:
    return {dataset.name: f"{dataset.rows:,}" for dataset in side.datasets}


def _read_funnel(side: Summary) -> dict[str, str]:
    lines: dict[str, str] = {}
    for step in side.funnel:
        lines[f"{step.stage}: {pluralise(step.unit)} in"] = f"{step.entered:,}"
        lines[f"{step.stage}: {pluralise(step.unit)} on"] = f"{step.passed:,}"
        lines |= {f"{step.stage}: {step.unit} {why}": f"{n:,}" for why, n in sorted(step.rejected.items())}
    return lines
