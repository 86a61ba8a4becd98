"""Shares and areas under the curve over clusters, as statistics to resample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.statistics.resampling import Floats, Statistic


def count_share(some: Sequence[float], of: Sequence[float]) -> Statistic:
    """The share of things with a property; of each cluster, how many have it, and how many there are."""
    part, whole = np.asarray(some, dtype=np.float64), np.asarray(of, dtype=np.float64)

    def find_shares(weights: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return (weights @ part) / (weights @ whole)

    return find_shares


def count_auc(scores: Sequence[float], positive: Sequence[bool], clusters: Sequence[int]) -> Statistic:
    """The probability that a positive has a higher score than another, ties counted half (Hanley and McNeil 1982).

    `clusters`: the cluster of each score, counted from 0.
    """
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    ordered = np.asarray(scores, dtype=np.float64)[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)  # of each run of equal scores
    members, right = np.asarray(clusters, dtype=np.int64)[order], np.asarray(positive, dtype=bool)[order]

    def find_areas(weights: Floats) -> Floats:
        if not len(ordered):
            return np.full(len(weights), np.nan)
        counts = weights[:, members]
        ours = np.add.reduceat(counts * right, starts, axis=1)
        others = np.add.reduceat(counts * ~right, starts, axis=1)
        below = np.cumsum(others, axis=1) - others / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            areas: Floats = (ours * below).sum(1) / (ours.sum(1) * others.sum(1))
        return areas

    return find_areas
