"""Statistics that are resampled by cluster: against plain loops and an independent implementation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]  # scipy ships no types

from pipeline.statistics.agreement import count_kappa, measure_kappa
from pipeline.statistics.resampling import estimate, sample_counts
from pipeline.statistics.shares import count_auc, count_share

SCORES = st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), max_size=25)


@given(SCORES, st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_a_weighted_auc_is_that_of_the_repeated_scores(rows: list[tuple[int, bool, int]], times: list[int]) -> None:
    repeated = [row for row in rows for _ in range(times[row[2]])]
    ours = [score for score, positive, _ in repeated if positive]
    others = [score for score, positive, _ in repeated if not positive]
    statistic = count_auc([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
    (found,) = statistic(np.array([times], dtype=np.float64))
    if not ours or not others:
        assert np.isnan(found)
    else:
        wins = sum((one > other) + (one == other) / 2 for one in ours for other in others)
        assert found == pytest.approx(wins / (len(ours) * len(others)))


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), max_size=6), min_size=1, max_size=6)
)
def test_a_kappa_of_clusters_is_that_of_all_pairs(clusters: list[list[tuple[str, str]]]) -> None:
    (found,) = count_kappa([Counter(pairs) for pairs in clusters])(np.ones((1, len(clusters))))
    whole = measure_kappa(Counter(pair for pairs in clusters for pair in pairs))
    assert np.isnan(found) if whole is None else found == pytest.approx(whole)


def test_a_share_has_the_interval_of_an_independent_bootstrap() -> None:
    dice = np.random.default_rng(3)
    of = dice.integers(1, 5, 60)
    some = dice.binomial(of, 0.7)
    found = estimate(count_share(some.tolist(), of.tolist()), len(of))
    other = stats.bootstrap(
        (some, of), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True, confidence_level=0.9,
        n_resamples=5000, method="percentile", rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    assert found.value == some.sum() / of.sum()
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.01)


def test_the_same_values_give_the_same_interval_and_nothing_gives_none() -> None:
    statistic = count_share([1, 0, 2], [2, 1, 2])
    assert estimate(statistic, 3) == estimate(statistic, 3)
    assert estimate(count_share([], []), 0).value is None
    assert estimate(count_share([0, 0], [0, 0]), 2) == estimate(count_auc([1, 2], [True, True], [0, 1]), 2)
    assert sample_counts(np.random.default_rng(0), 5, 7).sum(1).tolist() == [7.0] * 5
