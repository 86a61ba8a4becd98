"""Two evaluations side by side: what differs, and whether it could be chance.

Promises: only what was found with the same retrieval and asked the same questions is compared; anything else is
refused, or, when it is forced, compared on the questions that both have. Questions are paired by id.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.errors import ConfigError
from pipeline.evaluation.bootstrap import ROUNDING, compare_paired
from pipeline.evaluation.summary import Tallied, average_runs
from schemas.evaluations import EvaluationResult, PairedDifference


def list_mismatches(base: EvaluationResult, other: EvaluationResult) -> tuple[str, ...]:
    """Why two evaluations are not comparable; empty when they are."""
    pairs = (
        ("retrieval fingerprint", base.engine, other.engine),
        ("passages shown for a step", base.k, other.k),
        ("questions", base.questions_digest, other.questions_digest),
    )
    return tuple(f"{name}: {one} and {two}" for name, one, two in pairs if one != two)


def check_comparable(base: EvaluationResult, other: EvaluationResult) -> None:
    """Raise ConfigError when two evaluations are not comparable."""
    mismatches = list_mismatches(base, other)
    if mismatches:
        what = f"{base.name} and {other.name} are not comparable: {'; '.join(mismatches)}"
        raise ConfigError(what, "evaluate both with one index and one file of questions, or give --force")


def compare_tallies(base: Tallied, other: Tallied) -> tuple[PairedDifference, ...]:
    """Every metric that both have, on the questions that both have. Raises ConfigError when there is none."""
    both = sorted(base.benchmarks.keys() & other.benchmarks.keys())
    if not both:
        raise ConfigError("the evaluations have no question in common", "evaluate both on one file of questions")
    differences = []
    for metric in base.scores:
        if metric in other.scores:
            ours, theirs = (_pick(average_runs(tallied.scores[metric]), both) for tallied in (base, other))
            paired = compare_paired(ours, theirs)
            differences.append(
                PairedDifference(
                    metric=metric,
                    base=float(ours.mean()),
                    other=float(theirs.mean()),
                    difference=paired.difference,
                    low=paired.low,
                    high=paired.high,
                    p_value=paired.p_value,
                    better=int((theirs > ours + ROUNDING).sum()),
                    worse=int((theirs < ours - ROUNDING).sum()),
                )
            )
    return tuple(differences)


def _pick(means: dict[str, float], questions: Iterable[str]) -> np.ndarray:
    return np.array([means[question] for question in questions])
