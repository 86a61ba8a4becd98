"""Metrics of an evaluation from its rows.

Guarantees: unfinished answers count as 0 in every mean; intervals are over questions, with the mean over their runs;
the order of the rows is irrelevant.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pipeline.evaluation.bootstrap import estimate_intervals
from pipeline.evaluation.official_metrics import OfficialScores, score_officially
from schemas.evaluations import EvalGroup, Evaluation, Metric, MetricName
from schemas.judgements import Verdict

ALL = "all"
SETTLED = (Verdict.CORRECT, Verdict.INCORRECT)


Scores = dict[str, dict[int, float]]
"""Question id to run to score."""


@dataclass(slots=True)
class EvaluationTotals:
    """Totals over the rows of an evaluation."""

    benchmarks: dict[str, str] = field(default_factory=dict)
    """Question id to benchmark."""
    scores: dict[MetricName, Scores] = field(default_factory=dict)
    stops: Counter[str] = field(default_factory=Counter)
    """Unfinished answers by reason."""
    answers: int = 0
    searches: int = 0
    unjudged: int = 0
    supports: list[float] = field(default_factory=list)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    model: str = ""
    engine: str = ""


def sum_rows(rows: Iterable[Evaluation]) -> EvaluationTotals:
    """Add up the rows, keeping a few numbers of each."""
    totals = EvaluationTotals()
    for row in rows:
        totals.answers += 1
        totals.benchmarks[row.question_id] = row.benchmark
        totals.model, totals.engine = row.model, row.engine
        for metric, score in list_scores(row).items():
            totals.scores.setdefault(metric, {}).setdefault(row.question_id, {})[row.run] = score
        totals.stops.update([] if row.finished else [row.stop])
        totals.unjudged += row.verdict is not None and row.verdict not in SETTLED
        totals.searches += row.searches
        totals.supports += [] if row.support is None else [row.support]
        for usage in row.usage:
            totals.calls += usage.calls
            totals.prompt_tokens += usage.prompt_tokens
            totals.completion_tokens += usage.completion_tokens
            totals.cost += usage.cost
    return totals


def list_scores(row: Evaluation) -> dict[MetricName, float]:
    """The scores of a row; the judge's only if it ruled."""
    official = score_officially(row.answer, row.golds) if row.finished else OfficialScores()
    scores = {
        MetricName.RECALL: row.recall,
        MetricName.EXACT: row.exact,
        MetricName.SUBSTRING: row.substring,
        MetricName.F1: row.f1,
        MetricName.OFFICIAL_EXACT: official.exact,
        MetricName.OFFICIAL_SUBSTRING: official.substring,
        MetricName.OFFICIAL_F1: official.f1,
    }
    return scores if row.verdict is None else {**scores, MetricName.JUDGED: float(row.verdict is Verdict.CORRECT)}


def average_runs(scores: Scores) -> dict[str, float]:
    """The mean of each question over its runs, sorted by question id."""
    return {question: statistics.fmean(scores[question].values()) for question in sorted(scores)}


def make_groups(totals: EvaluationTotals) -> tuple[EvalGroup, ...]:
    """The metrics over all questions, then of each of several benchmarks."""
    names = sorted(set(totals.benchmarks.values()))
    groups = [_make_group(ALL, totals.benchmarks.keys(), totals)]
    if len(names) > 1:
        for name in names:
            of_it = [question for question, benchmark in totals.benchmarks.items() if benchmark == name]
            groups.append(_make_group(name, of_it, totals))
    return tuple(groups)


def _make_group(name: str, questions: Iterable[str], totals: EvaluationTotals) -> EvalGroup:
    selected = sorted(questions)
    picked = [{question: scores[question] for question in selected} for scores in totals.scores.values()]
    means = np.array([list(average_runs(scores).values()) for scores in picked]).T
    intervals = estimate_intervals(means)
    metrics = {
        metric: Metric(mean=float(mean), low=low, high=high, spread=_spread(scores))
        for metric, scores, mean, (low, high) in zip(totals.scores, picked, means.mean(axis=0), intervals, strict=True)
    }
    return EvalGroup(name=name, questions=len(selected), metrics=metrics)


def _spread(scores: Scores) -> float | None:
    """Standard deviation of the runs' means; None for a single run."""
    runs = sorted({run for by_run in scores.values() for run in by_run})
    means = [statistics.fmean(by_run[run] for by_run in scores.values()) for run in runs]
    return statistics.stdev(means) if len(means) > 1 else None
