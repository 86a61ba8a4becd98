"""Confidence intervals of means and tests of differences, by resampling over questions.

Guarantees: the same values give the same figures; memory is bounded for any number of questions. The unit is the
question, with the mean over its runs, because answers to one question are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.statistics.resampling import SEED, cut_rounds, sample_counts
from schemas.evaluations import MetricName, PairedDifference

ROUNDS = 10_000
LEVEL = 0.95
ROUNDING = 1e-9
"""Tolerance of sums, whose rounding depends on the order of addition."""

Values = Sequence[float] | NDArray[np.float64]


def estimate_interval(values: Values, rounds: int = ROUNDS) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean (Efron and Tibshirani 1993, chapter 13)."""
    (interval,) = estimate_intervals(np.asarray(values, dtype=np.float64)[:, None], rounds)
    return interval


def estimate_intervals(columns: NDArray[np.float64], rounds: int = ROUNDS) -> tuple[tuple[float, float], ...]:
    """The same for each column of a matrix of questions by metrics, from one resampling of the questions."""
    size = len(columns)
    if not size:
        raise ValueError("no values: a mean of nothing has no interval")
    dice = np.random.default_rng(SEED)
    means = np.concatenate([sample_counts(dice, n, size) @ columns / size for n in cut_rounds(rounds, size)])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def compare_paired(metric: MetricName, base: Values, other: Values, rounds: int = ROUNDS) -> PairedDifference:
    """The difference of a metric between two evaluations, question by question.

    The test flips the sign of each question's difference at random: under the hypothesis that both are alike, either
    sign is as likely (Fisher's randomisation test; for answer scores, Yeh 2000).
    """
    first, second = (np.asarray(values, dtype=np.float64) for values in (base, other))
    differences = second - first
    low, high = estimate_interval(differences, rounds)
    return PairedDifference(
        metric=metric,
        base=float(first.mean()),
        other=float(second.mean()),
        difference=float(differences.mean()),
        low=low,
        high=high,
        p_value=_test_signs(differences, rounds),
        better=int((second > first + ROUNDING).sum()),
        worse=int((second < first - ROUNDING).sum()),
    )


def _test_signs(differences: NDArray[np.float64], rounds: int) -> float:
    """The share of sign flips with a sum as far from 0; the observed one counts as a round."""
    changed = differences[differences != 0]
    observed = abs(changed.sum()) - ROUNDING
    if not len(changed):
        return 1.0
    dice = np.random.default_rng(SEED)
    hits = 0
    for n in cut_rounds(rounds, len(changed)):
        signs = 2.0 * dice.integers(0, 2, (n, len(changed))) - 1.0
        hits += int((np.abs(signs @ changed) >= observed).sum())
    return (hits + 1) / (rounds + 1)
