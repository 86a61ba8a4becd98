"""Agreement of two raters: the share of equal codes, and Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

from pipeline.statistics.resampling import Floats, Statistic

Code = TypeVar("Code", bound=Hashable)


def measure_kappa(pairs: Counter[tuple[Code, Code]]) -> float | None:
    """Cohen's kappa (1960): agreement beyond chance; 1 is perfect, 0 chance.

    None where chance alone would give full agreement, or there are no pairs.
    """
    kappa = float(_find_kappas(_count_pairs([pairs]))[0])
    return None if np.isnan(kappa) else kappa


def count_kappa(clusters: Sequence[Counter[tuple[Code, Code]]]) -> Statistic:
    """Kappa over clusters of pairs, as a statistic to resample."""
    tables = _count_pairs(clusters)
    flat = tables.reshape(len(tables), -1)
    return lambda weights: _find_kappas((weights @ flat).reshape(len(weights), *tables.shape[1:]))


def _count_pairs(clusters: Sequence[Counter[tuple[Code, Code]]]) -> Floats:
    """Clusters x codes of the first rater x codes of the second."""
    codes = {code: None for pairs in clusters for pair in pairs for code in pair}
    places = {code: place for place, code in enumerate(codes)}
    tables = np.zeros((len(clusters), len(codes), len(codes)))
    for table, pairs in zip(tables, clusters, strict=True):
        for (one, other), count in pairs.items():
            table[places[one], places[other]] += count
    return tables


def _find_kappas(tables: Floats) -> Floats:
    totals = tables.sum((1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(tables, axis1=1, axis2=2) / totals
        chance = (tables.sum(1) * tables.sum(2)).sum(1) / totals**2
        return np.where(chance == 1, np.nan, (observed - chance) / (1 - chance))
