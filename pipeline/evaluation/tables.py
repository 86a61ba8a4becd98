"""Results of evaluations as Markdown.

Guarantees: every table has its denominator below it; outside text cannot break out of a cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from schemas.evaluations import EvalGroup, EvaluationResult, Metric, MetricName, PairedDifference

HEADINGS = {
    MetricName.RECALL: "token recall",
    MetricName.EXACT: "EM (ours)",
    MetricName.SUBSTRING: "sub-EM (ours)",
    MetricName.F1: "F1 (ours)",
    MetricName.OFFICIAL_EXACT: "EM (official)",
    MetricName.OFFICIAL_SUBSTRING: "sub-EM (official)",
    MetricName.OFFICIAL_F1: "F1 (official)",
    MetricName.JUDGED: "LLM judge",
}

RULES = (
    "Ours folds numbers, accents, scripts and typography. Official: EM and F1 as HotpotQA and Search-R1 (em_check),"
    " sub-EM as Search-R1, for answers of several parts as FanOutQA's loose accuracy without lemmas."
)
"""Rules of the columns."""


def write_results(results: Sequence[EvaluationResult]) -> str:
    """A table of evaluations, one row for each group of questions, with notes."""
    metrics = [metric for metric in HEADINGS if any(metric in result.metrics for result in results)]
    several = len(results) > 1
    names = ["evaluation"] * several + ["method", "model", "questions", *(HEADINGS[metric] for metric in metrics)]
    rows = [
        [
            *([result.name] if several else []),
            result.method.value,
            result.model,
            group.name if group.name != "all" else "all" if len(result.groups) > 1 else str(group.questions),
            *(_write_metric(group, metric) for metric in metrics),
        ]
        for result in results
        for group in result.groups
    ]
    return (
        "\n".join(
            [*write_table(names, rows), "", *(line for result in results for line in _write_notes(result)), RULES]
        )
        + "\n"
    )


def write_differences(base: str, other: str, differences: Iterable[PairedDifference]) -> str:
    """A table of the differences between two evaluations."""
    rows = [
        [
            HEADINGS[pair.metric],
            _write_share(pair.base),
            _write_share(pair.other),
            f"{100 * pair.difference:+.1f} ({100 * pair.low:+.1f} to {100 * pair.high:+.1f})",
            write_p_value(pair.p_value),
            f"{pair.better} / {pair.worse}",
        ]
        for pair in differences
    ]
    names = ["metric", base, other, "difference (95%)", "p, paired", "questions better / worse"]
    return "\n".join(write_table(names, rows)) + "\n"


def write_p_value(p_value: float) -> str:
    """A probability; small ones as a bound."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def write_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(map(_clean, names)) + " |"
    yield "|" + " --- |" * len(names)
    for row in rows:
        yield "| " + " | ".join(map(_clean, row)) + " |"


def _write_metric(group: EvalGroup, metric: MetricName) -> str:
    value = group.metrics.get(metric)
    return write_metric(value) if value else ""


def write_metric(metric: Metric) -> str:
    """Mean with interval, in percent; the spread over runs when there are several."""
    spread = "" if metric.spread is None else f", sd {100 * metric.spread:.1f}"
    return f"{_write_share(metric.mean)} ({100 * metric.low:.1f} to {100 * metric.high:.1f}{spread})"


def _write_notes(result: EvaluationResult) -> Iterator[str]:
    """Denominator, rejects, retrieval and cost of an evaluation."""
    reasons = ", ".join(f"{_clean(reason)} {count:,}" for reason, count in result.unfinished.items())
    left_out = [f"{_clean(reason)} {count:,}" for reason, count in result.rejected.items()]
    left_out += [f"not drawn {result.sampled_out:,}"] if result.sampled_out else []
    yield (
        f"- {_clean(result.name)}: every mean is over {result.answers:,} answers ({result.questions:,} questions x "
        f"{result.runs} {'run' if result.runs == 1 else 'runs'}); {result.finished:,} finished, the others count as 0"
        f"{f' ({reasons})' if reasons else ''}. Left out of "
        f"{result.offered:,} rows: {', '.join(left_out) if left_out else 'none'}."
    )
    judged = f" {result.unjudged:,} answers got no readable verdict and count as not right." if result.unjudged else ""
    support = f"; supporting passages shown {_write_share(result.support)}%" if result.support is not None else ""
    yield (
        f"  Retrieval {result.engine}, k {result.k}, {result.searches:.1f} queries an answer{support}; "
        f"{result.calls:,} model calls, {result.prompt_tokens:,} + {result.completion_tokens:,} tokens, "
        f"cost {result.cost:.4f}.{judged}"
    )


def _write_share(share: float) -> str:
    return f"{100 * share:.1f}"


def _clean(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
