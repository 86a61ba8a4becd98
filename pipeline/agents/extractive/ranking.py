"""Reranking of the most likely answers against each other.

A linear score rates a place by itself; which of two good places is correct depends on their differences. Therefore each
of the `TOP` texts by share of belief is described by its best place and by its lead over the best of the others, and a
sum of small regression trees, fitted offline, changes their shares. The sum of the shares, and so the belief that the
answer is present at all, does not change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.agents.extractive.labels import softmax

TOP = 16
BEST_OF = 4  # number of first features that are also given by their maximum over the places of a text
DIGITS = 6  # a value is rounded before it is compared, so that all machines take the same branch


@dataclass(frozen=True)
class Trees:
    """Regression trees as tables: row t is tree t, column n its node n, and node 0 is the root."""

    feature: np.ndarray
    """Column of the row that a node compares."""
    threshold: np.ndarray
    """Value up to which a node goes left."""
    left: np.ndarray
    """Left child; a leaf is its own."""
    right: np.ndarray
    """Right child; a leaf is its own."""
    value: np.ndarray
    """Value of a leaf."""
    depth: int
    """Steps from the root to the deepest leaf."""

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the sum of the trees for each row."""
        at_tree = np.arange(len(self.feature))[None, :]
        at_row = np.arange(len(rows))[:, None]
        rounded = rows.round(DIGITS)
        node = np.zeros((len(rows), len(self.feature)), dtype=np.int64)
        for _ in range(self.depth):
            low = rounded[at_row, self.feature[at_tree, node]] <= self.threshold[at_tree, node]
            node = np.where(low, self.left[at_tree, node], self.right[at_tree, node])
        total: np.ndarray = self.value[at_tree, node].sum(axis=1)
        return total


@cache
def load_trees(lang: str) -> Trees | None:
    """Return the trees of a language, if any."""
    path = Path(__file__).parent / f"trees.{lang.split('-')[0]}.json"
    if not path.is_file():
        return None
    tables = json.loads(path.read_text(encoding="utf-8"))
    feature, left, right = (np.array(tables[name], dtype=np.int64) for name in ("feature", "left", "right"))
    threshold, value = (np.array(tables[name], dtype=np.float64) for name in ("threshold", "value"))
    return Trees(feature, threshold, left, right, value, int(tables["depth"]))


def build_rows(
    values: np.ndarray, labels: np.ndarray, scores: np.ndarray, texts: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Return the most likely texts, in order, and a row for each.

    `values` and `labels` (P(label)) have a row, `scores` and `texts` an entry for each place.
    """
    weights = softmax(scores)
    places: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        places.setdefault(text, []).append(index)
    shares = {text: float(weights[some].sum()) for text, some in places.items()}
    top = sorted(shares, key=lambda text: (-shares[text], text))[:TOP]
    best = [max(places[text], key=lambda index: (scores[index], -index)) for text in top]
    widest = np.array([values[places[text], :BEST_OF].max(axis=0) for text in top])
    log_shares = np.log(np.array([shares[text] for text in top]) + 1e-9)[:, None]
    own = np.concatenate([values[best], widest, log_shares], axis=1)
    nested = [[sum(_holds(b, a) for b in top) - 1, sum(_holds(a, b) for b in top) - 1] for a in top]
    rank = np.arange(len(top))[:, None]
    return top, np.concatenate([log_shares, rank, nested, own, _measure_leads(own), labels[best]], axis=1)


def rank_texts(
    trees: Trees, values: np.ndarray, labels: np.ndarray, scores: np.ndarray, texts: Sequence[str]
) -> dict[str, float]:
    """Return the shares of the most likely texts, which sum to 1."""
    top, rows = build_rows(values, labels, scores, texts)
    return dict(zip(top, softmax(rows[:, 0] + trees.predict(rows)).tolist(), strict=True))


def _holds(one: str, other: str) -> bool:
    return f" {other} " in f" {one} "


def _measure_leads(rows: np.ndarray) -> np.ndarray:
    """Return by how much each value exceeds the best of the others; zeros for a single row."""
    if len(rows) < 2:
        return np.zeros_like(rows)
    second, first = np.partition(rows, len(rows) - 2, axis=0)[-2:]
    leads: np.ndarray = rows - np.where(rows == first, second, first)
    return leads
