"""Agreement of two ways to find or to judge the same thing: the comparing steps of the funnel, in words.

The totals come from the ledgers of the stages; nothing is compared again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.config import StageName
from schemas.funnel import FunnelStep, pluralise
from schemas.tasks import SpanKind

TOPICS: dict[tuple[str, str], str] = {
    **{
        (StageName.SPANS, kind.value): f"{pluralise(kind.value)} found by the model, and by recogniser, links, rules"
        for kind in SpanKind
    },
    (StageName.JUDGEMENTS, "audited_trajectory"): "right by the rules: does the model say so too?",
    (StageName.JUDGEMENTS, "unsettled_trajectory"): "not settled by rules: does the model find no right answer either?",
}
"""Description of each comparison, by stage and unit."""
DIFFERENCES = {
    "only_llm": "only the model",
    "only_others": "only recogniser, links, rules",
    "model_says_correct": "the model says correct",
    "model_says_incorrect": "the model says incorrect",
    "model_says_unjudgeable": "the model cannot say",
    "model_says_error": "the server refused",
}
"""Description of each disagreement, by reason code."""


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """Comparison of two ways to find or judge things of one kind."""

    topic: str
    compared: int
    agreed: int
    differences: tuple[tuple[str, int], ...]
    """Disagreements with their counts, most frequent first."""


def compare_steps(steps: Iterable[FunnelStep]) -> tuple[AgreementRow, ...]:
    """The comparing steps, those of one stage together and sorted by unit: the order of the shards is irrelevant."""
    compared = [step for step in steps if step.compares and step.entered]
    stages = list(dict.fromkeys(step.stage for step in compared))
    return tuple(
        AgreementRow(
            topic=TOPICS.get((step.stage, step.unit), f"{step.stage}: {step.unit}"),
            compared=step.entered,
            agreed=step.passed,
            differences=tuple(
                (DIFFERENCES.get(reason, reason.replace("_", " ")), count)
                for reason, count in sorted(step.rejected.items(), key=lambda item: (-item[1], item[0]))
                if count
            ),
        )
        for step in sorted(compared, key=lambda step: (stages.index(step.stage), step.unit))
    )


def drop_comparisons(steps: Iterable[FunnelStep]) -> list[FunnelStep]:
    """The funnel proper: steps that items pass or are dropped by."""
    return [step for step in steps if not step.compares]
