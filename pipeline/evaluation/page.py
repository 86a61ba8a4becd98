"""Results of evaluations as one HTML file in the style of the report: no script, no request, inert outside text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeline.evaluation import interval_chart as drawing
from pipeline.evaluation.tables import HEADINGS, RULES, write_metric, write_p_value
from pipeline.report.page import TEMPLATES, flatten_settings, open_environment, write_policy
from schemas.evaluations import EvaluationResult, PairedDifference

SHOWN_ABOVE = {"groups", "name"}


@dataclass(frozen=True, slots=True)
class EvaluationComparison:
    """Differences between two evaluations, given by name."""

    base: str
    other: str
    differences: tuple[PairedDifference, ...]


def write_page(results: Sequence[EvaluationResult], comparisons: Sequence[EvaluationComparison]) -> str:
    """The page of at least one evaluation."""
    style = (TEMPLATES / "report.css").read_text("utf-8")
    environment = open_environment("pipeline.evaluation", "pipeline.report")
    return environment.get_template("evaluation.html").render(
        title=" / ".join(result.name for result in results),
        results=results,
        metrics=[metric for metric in HEADINGS if any(metric in result.metrics for result in results)],
        comparisons=comparisons,
        headings=HEADINGS,
        rules=RULES,
        panels=drawing.lay_out(results),
        drawing=drawing,
        facts=list_facts,
        write_metric=write_metric,
        write_p_value=write_p_value,
        style=Markup(style),  # noqa: S704  # own file, not outside text
        policy=write_policy(style),
    )


def list_facts(result: EvaluationResult) -> list[tuple[str, str]]:
    """Settings and totals of an evaluation, by name."""
    return list(flatten_settings(result.model_dump(mode="json", exclude=SHOWN_ABOVE)))
