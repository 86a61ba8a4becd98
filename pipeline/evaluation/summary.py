"""From the rows of an evaluation to its figures.

Promises: unfinished answers count as 0 and stand in the denominator; intervals are over questions, whose runs are
averaged first; the same rows give the same figures, whatever their order.
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
class Tallied:
    """What the rows of an evaluation add up to."""

    benchmarks: dict[str, str] = field(default_factory=dict)
    """Question id to benchmark."""
    scores: dict[MetricName, Scores] = field(default_factory=dict)
    """Every score."""
    stops: Counter[str] = field(default_factory=Counter)
    """Unfinished answers by what kept them."""
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


def tally_rows(rows: Iterable[Evaluation]) -> Tallied:
    """Add up the rows; memory holds a few numbers of each."""
    tallied = Tallied()
    for row in rows:
        tallied.answers += 1
        tallied.benchmarks[row.question_id] = row.benchmark
        tallied.model, tallied.engine = row.model, row.engine
        for metric, score in list_scores(row).items():
            tallied.scores.setdefault(metric, {}).setdefault(row.question_id, {})[row.run] = score
        tallied.stops.update([] if row.finished else [row.stop])
        tallied.unjudged += row.verdict is not None and row.verdict not in SETTLED
        tallied.searches += row.searches
        tallied.supports += [] if row.support is None else [row.support]
        for usage in row.usage:
            tallied.calls += usage.calls
            tallied.prompt_tokens += usage.prompt_tokens
            tallied.completion_tokens += usage.completion_tokens
            tallied.cost += usage.cost
    return tallied


def list_scores(row: Evaluation) -> dict[MetricName, float]:
    """The scores of a row; the judge's only when it was asked."""
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
    """The mean of each question over its runs, by question id in order."""
    return {question: statistics.fmean(scores[question].values()) for question in sorted(scores)}


def make_groups(tallied: Tallied) -> tuple[EvalGroup, ...]:
    """The figures of all questions, then of each benchmark when there are several."""
    names = sorted(set(tallied.benchmarks.values()))
    groups = [_make_group(ALL, tallied.benchmarks.keys(), tallied)]
    if len(names) > 1:
        for name in names:
            of_it = [question for question, benchmark in tallied.benchmarks.items() if benchmark == name]
            groups.append(_make_group(name, of_it, tallied))
    return tuple(groups)


def _make_group(name: str, questions: Iterable[str], tallied: Tallied) -> EvalGroup:
    wanted = sorted(questions)
    picked = [{question: scores[question] for question in wanted} for scores in tallied.scores.values()]
    means = np.array([list(average_runs(scores).values()) for scores in picked]).T
    intervals = estimate_intervals(means)
    metrics = {
        metric: Metric(mean=float(mean), low=low, high=high, spread=_spread(scores))
        for metric, scores, mean, (low, high) in zip(tallied.scores, picked, means.mean(axis=0), intervals, strict=True)
    }
    return EvalGroup(name=name, questions=len(wanted), metrics=metrics)


def _spread(scores: Scores) -> float | None:
    """Standard deviation of the runs' means; None for a single run."""
    runs = sorted({run for by_run in scores.values() for run in by_run})
    means = [statistics.fmean(by_run[run] for by_run in scores.values()) for run in runs]
    return statistics.stdev(means) if len(means) > 1 else None
