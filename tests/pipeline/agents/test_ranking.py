"""The trees that weigh likely answers against each other: a slow walk agrees, shares add up, order does not matter."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.agents.extractive.features import find_rarest
from pipeline.agents.extractive.ranking import TOP, Trees, build_rows, load_trees, rank_texts
from pipeline.agents.extractive.weights import WEIGHTS

LABELS = 14


def make_places(count: int, texts: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    draw = np.random.default_rng(seed)
    values, labels = draw.normal(size=(count, len(WEIGHTS))), draw.dirichlet(np.ones(LABELS), size=count)
    return values, labels, draw.normal(size=count) * 3, [f"text {draw.integers(texts)}" for _ in range(count)]


def walk(trees: Trees, tree: int, row: np.ndarray) -> float:
    node = 0
    while trees.left[tree, node] != node:
        low = round(float(row[trees.feature[tree, node]]), 6) <= trees.threshold[tree, node]
        node = int((trees.left if low else trees.right)[tree, node])
    return float(trees.value[tree, node])


def read_trees() -> Trees:
    trees = load_trees("en")
    assert trees is not None
    return trees


def test_vectorised_trees_equal_a_walk_of_each_tree() -> None:
    trees = read_trees()
    _, rows = build_rows(*make_places(60, 30, seed=1))
    alone = [sum(walk(trees, tree, row) for tree in range(len(trees.feature))) for row in rows]
    assert trees.predict(rows) == pytest.approx(alone)
    assert int(trees.feature.max()) < rows.shape[1]


@pytest.mark.parametrize("seed", range(5))
def test_shares_sum_to_one_in_any_order_of_places(seed: int) -> None:
    values, labels, scores, texts = make_places(80, 40, seed)
    shares = rank_texts(read_trees(), values, labels, scores, texts)
    assert len(shares) == min(TOP, len(set(texts)))
    assert sum(shares.values()) == pytest.approx(1)
    order = np.random.default_rng(seed).permutation(len(texts))
    mixed = rank_texts(read_trees(), values[order], labels[order], scores[order], [texts[i] for i in order])
    assert mixed == pytest.approx(shares)


def test_single_text_has_the_whole_share() -> None:
    assert rank_texts(read_trees(), *make_places(3, 1, seed=0)) == {"text 0": pytest.approx(1)}
    assert load_trees("xx") is None


def test_rarity_is_limited_to_that_of_three_passages() -> None:
    def count_rarity(passages: int) -> Callable[[str], float]:
        return lambda term: math.log(1 + (5000 - passages + 0.5) / (passages + 0.5)) if term else math.log(1 + 10001)

    rarest = find_rarest(count_rarity(0))
    assert count_rarity(3)("word") == pytest.approx(rarest)
    assert count_rarity(2)("word") > rarest > count_rarity(4)("word")
    assert find_rarest(lambda _: 0.0) == 0.0
