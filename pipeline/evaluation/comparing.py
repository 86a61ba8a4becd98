"""Comparison of two evaluations: differences, and their significance.

Guarantees: only evaluations with the same retrieval and questions are compared; others are refused or, if forced,
compared on their common questions. Questions are paired by id.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import ConfigError
from pipeline.evaluation.bootstrap import compare_paired
from pipeline.evaluation.summary import EvaluationTotals, average_runs
from schemas.evaluations import EvaluationResult, MetricName, PairedDifference


def list_mismatches(base: EvaluationResult, other: EvaluationResult) -> tuple[str, ...]:
    """Reasons why two evaluations are not comparable."""
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
        fault = f"{base.name} and {other.name} are not comparable: {'; '.join(mismatches)}"
        raise ConfigError(fault, "evaluate both with one index and one file of questions, or give --force")


def compare_totals(base: EvaluationTotals, other: EvaluationTotals) -> tuple[PairedDifference, ...]:
    """Common metrics on common questions. Raises ConfigError without a common question."""
    both = sorted(base.benchmarks.keys() & other.benchmarks.keys())
    if not both:
        raise ConfigError("the evaluations have no question in common", "evaluate both on one file of questions")
    return tuple(
        compare_paired(metric, _select(base, metric, both), _select(other, metric, both))
        for metric in base.scores
        if metric in other.scores
    )


def _select(totals: EvaluationTotals, metric: MetricName, questions: Sequence[str]) -> list[float]:
    means = average_runs(totals.scores[metric])
    return [means[question] for question in questions]
