"""How sure a mean is, and whether two evaluations differ: resampling over questions.

Promises: the same values and seed give the same figures; memory stays small whatever the number of questions. The
unit is the question - its answers in several runs are averaged first - because answers to one question hang together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10_000
LEVEL = 0.95
BLOCK = 1 << 20
"""Numbers drawn at once."""
ROUNDING = 1e-9
"""Sums this close are equal: adding in another order must not tell them apart."""

Values = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paired:
    """Two evaluations on the same questions."""

    difference: float
    """Mean of the second less mean of the first."""
    low: float
    """Lower end of the bootstrap interval of the difference."""
    high: float
    """Its upper end."""
    p_value: float
    """Of the two-sided sign-flip test: how often chance alone would bring a difference as large."""


def estimate_interval(values: Values, seed: int = 0, rounds: int = ROUNDS) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean (Efron and Tibshirani 1993, chapter 13)."""
    (interval,) = estimate_intervals(np.asarray(values, dtype=np.float64)[:, None], seed, rounds)
    return interval


def estimate_intervals(
    columns: NDArray[np.float64], seed: int = 0, rounds: int = ROUNDS
) -> tuple[tuple[float, float], ...]:
    """The same for each column of a matrix of questions by metrics, all from one drawing of the questions."""
    size = len(columns)
    if not size:
        raise ValueError("no values: a mean of nothing has no interval")
    dice = np.random.default_rng(seed)
    means = np.concatenate([_draw_counts(dice, n, size) @ columns / size for n in _cut_rounds(rounds, size)])
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return tuple(zip(low.tolist(), high.tolist(), strict=True))


def _draw_counts(dice: np.random.Generator, rounds: int, size: int) -> NDArray[np.float64]:
    """How often each question is drawn in each round: many means are then one product of matrices."""
    drawn = dice.integers(0, size, (rounds, size)) + size * np.arange(rounds)[:, None]
    return np.bincount(drawn.ravel(), minlength=rounds * size).reshape(rounds, size).astype(np.float64)


def compare_paired(base: Values, other: Values, seed: int = 0, rounds: int = ROUNDS) -> Paired:
    """The difference of two evaluations, question by question.

    The test flips the sign of each question's difference at random: under the hypothesis that both are alike, either
    sign is as likely (Fisher's randomisation test; for answer scores, Yeh 2000).
    """
    differences = np.asarray(other, dtype=np.float64) - np.asarray(base, dtype=np.float64)
    low, high = estimate_interval(differences, seed, rounds)
    return Paired(float(differences.mean()), low, high, _test_signs(differences, seed, rounds))


def _test_signs(differences: NDArray[np.float64], seed: int, rounds: int) -> float:
    """The share of sign flips that bring a sum as far from 0; the observed one counts as a round."""
    changed = differences[differences != 0]
    observed = abs(changed.sum()) - ROUNDING
    if not len(changed):
        return 1.0
    dice = np.random.default_rng(seed)
    hits = 0
    for n in _cut_rounds(rounds, len(changed)):
        signs = 2.0 * dice.integers(0, 2, (n, len(changed))) - 1.0
        hits += int((np.abs(signs @ changed) >= observed).sum())
    return (hits + 1) / (rounds + 1)


def _cut_rounds(rounds: int, size: int) -> Iterator[int]:
    """The rounds in blocks of bounded memory."""
    most = max(1, BLOCK // size)
    while rounds > 0:
        yield min(most, rounds)
        rounds -= most
