"""How far two ways to find or to judge the same thing agree: the steps of the funnel that compare.

Their sums are made where the work is done and lie in the stages' ledgers; nothing is compared again for the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.charts.funnel import name_several
from schemas.config import StageName
from schemas.funnel import FunnelStep
from schemas.tasks import SpanKind

TOPICS: dict[tuple[str, str], str] = {
    **{
        (StageName.SPANS, kind.value): f"{name_several(kind.value)} found by the model, and by recogniser, links, rules"
        for kind in SpanKind
    },
    (StageName.JUDGEMENTS, "audited_trajectory"): "right by the rules: does the model say so too?",
    (StageName.JUDGEMENTS, "unsettled_trajectory"): "not settled by rules: does the model find no right answer either?",
}
"""What is compared, in words, by stage and unit."""
READERS = {
    "only_llm": "only the model",
    "only_others": "only recogniser, links, rules",
    "model_says_correct": "the model says correct",
    "model_says_incorrect": "the model says incorrect",
    "model_says_unjudgeable": "the model cannot say",
    "model_says_error": "the server refused",
}
"""How the others differ, in words, by reason code."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Two ways to find or judge things of one kind."""

    topic: str
    compared: int
    agreed: int
    differences: tuple[tuple[str, int], ...]
    """How the others differ, most frequent first."""


def compare_steps(steps: Iterable[FunnelStep]) -> tuple[AgreementRow, ...]:
    """The steps that compare, in words, in order."""
    return tuple(
        AgreementRow(
            topic=TOPICS.get((step.stage, step.unit), f"{step.stage}: {step.unit}"),
            compared=step.entered,
            agreed=step.passed,
            differences=tuple(
                (READERS.get(reason, reason.replace("_", " ")), count)
                for reason, count in sorted(step.rejected.items(), key=lambda item: (-item[1], item[0]))
                if count
            ),
        )
        for step in sort_steps(steps)
    )


def sort_steps(steps: Iterable[FunnelStep]) -> list[FunnelStep]:
    """The steps that compare: those of one stage together, in an order that does not hang on which shard came first."""
    compared = [step for step in steps if step.compares and step.entered]
    stages = list(dict.fromkeys(step.stage for step in compared))
    return sorted(compared, key=lambda step: (stages.index(step.stage), step.unit))


def drop_comparisons(steps: Iterable[FunnelStep]) -> Sequence[FunnelStep]:
    """The funnel proper: the steps that things pass or are dropped by."""
    return [step for step in steps if not step.compares]
