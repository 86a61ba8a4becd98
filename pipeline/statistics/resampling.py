"""Intervals of any statistic, by resampling the clusters that its values come in.

Guarantees: the same values give the same figures; memory is bounded for any number of clusters. Values of one cluster,
such as the masks of one task, are not independent, so whole clusters are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Values of a statistic for rounds x clusters times that each cluster counts; nan where it is undefined."""

SEED = 0
ROUNDS = 2_000
LEVEL = 0.90
BLOCK = 1 << 20
"""Random numbers generated at once."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Statistic with its interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def estimate(statistic: Statistic, clusters: int, level: float = LEVEL, rounds: int = ROUNDS) -> Estimate:
    """The percentile bootstrap interval of a statistic (Efron and Tibshirani 1993, chapter 13).

    Rounds in which it is undefined are left out.
    """
    if (value := find_value(statistic, clusters)) is None:
        return Estimate(None, None, None)
    dice = np.random.default_rng(SEED)
    drawn = [statistic(sample_counts(dice, n, clusters)) for n in cut_rounds(rounds, clusters)]
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Estimate(value, low, high)


def find_value(statistic: Statistic, clusters: int) -> float | None:
    """The statistic of the clusters as they are; None where it is undefined."""
    value = float(statistic(np.ones((1, clusters)))[0]) if clusters else np.nan
    return None if np.isnan(value) else value


def sample_counts(dice: np.random.Generator, rounds: int, size: int) -> Floats:
    """Number of times each of `size` clusters is drawn in each round."""
    sampled = dice.integers(0, size, (rounds, size)) + size * np.arange(rounds)[:, None]
    return np.bincount(sampled.ravel(), minlength=rounds * size).reshape(rounds, size).astype(np.float64)


def cut_rounds(rounds: int, size: int) -> Iterator[int]:
    """The rounds in blocks of bounded memory."""
    most = max(1, BLOCK // size)
    while rounds > 0:
        yield min(most, rounds)
        rounds -= most
