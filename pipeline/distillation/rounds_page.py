"""The report of a distillation: its rounds side by side, in one self-contained HTML file.

It has the guarantees of a run's report: no request, inert outside text, the same bytes for the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

from pipeline.charts import layout
from pipeline.charts.layout import Chart, lay_lines, lay_shares
from pipeline.report.page import TEMPLATES, flatten_settings, open_environment, write_policy
from schemas.rounds import NamedCount, RoundRecord, ValidationFigures

OWN = files("pipeline.distillation") / "templates"


def build_page(
    name: str, records: Sequence[RoundRecord], student: ValidationFigures | None, config: Mapping[str, Any]
) -> str:
    """The report as one HTML document.

    `student`: its validation, once it is trained; `config`: the whole configuration as plain values.
    """
    environment = open_environment("pipeline.distillation", "pipeline.report")
    style = (TEMPLATES / "report.css").read_text("utf-8") + (OWN / "rounds.css").read_text("utf-8")
    charts = [chart for chart in list_charts(records) if chart]
    return environment.get_template("rounds.html").render(
        name=name,
        records=records,
        student=student,
        style=Markup(style),  # noqa: S704  # own files, not outside text
        policy=write_policy(style),
        charts=charts,
        frame=layout,
        settings=list(flatten_settings(dict(config))),
        seconds=[sum(step.seconds for step in record.seconds) for record in records],
    )


def list_charts(records: Sequence[RoundRecord]) -> list[Chart | None]:
    """The charts, in the order they are shown; None where no round has the figures."""
    validations = [record.validation for record in records]
    figures = [record.diversity for record in records]
    masks = sorted({part.masks for record in records for part in record.by_masks})
    trainings = [record.training for record in records]
    accepted = {
        "all": [record.accept_rate if record.attempts else None for record in records],
        **{f"{k} masks" if k > 1 else "1 mask": [_rate(record, k) for record in records] for k in masks},
    }
    lines: tuple[tuple[str, str, Mapping[str, Sequence[float | None]]], ...] = (
        ("What is held out", "mean over all attempts", _list(validations, recall="recall", exact="exact", f1="f1")),
        ("Accepted attempts", "share, by number of masks", accepted),
        (
            "Variety of the thoughts",
            "distinct n-grams in blocks of equal length",
            _list(figures, words="distinct_1", pairs="distinct_2", triples="distinct_3"),
        ),
        (
            "Variety of the queries",
            "shares",
            _list(figures, **{"wordings, distinct": "queries_distinct", "word pairs, distinct": "query_distinct_2"}),
        ),
        (
            "Repetition and drift",
            "duplicate attempts; divergence from the round before",
            _list(figures, duplicates="duplicates", drift="drift"),
        ),
        ("Loss of the teacher", "first and last logged step", _list(trainings, first="first_loss", last="last_loss")),
    )
    return [
        *(lay_lines(*line) for line in lines),
        lay_shares("Searches", "attempts by number of search calls", [_count(one.searches) for one in figures]),
        lay_shares("Turns", "attempts by number of turns", [_count(one.turns) for one in figures]),
        lay_shares("Kinds of answer", "masks of accepted attempts", [_count(one.kinds) for one in figures]),
        lay_shares("Not accepted", "attempts by reason", [_count(record.rejects) for record in records]),
        lay_shares("Time", "by step", [{step.step: step.seconds for step in record.seconds} for record in records]),
    ]


def _rate(record: RoundRecord, masks: int) -> float | None:
    return next((part.accepted / part.attempts for part in record.by_masks if part.masks == masks), None)


def _list(rounds: Sequence[BaseModel | None], **fields: str) -> dict[str, list[float | None]]:
    """The values of some fields, by the names of their lines."""
    return {name: [getattr(one, field) if one else None for one in rounds] for name, field in fields.items()}


def _count(counts: Sequence[NamedCount]) -> dict[str, float]:
    return {one.name: float(one.count) for one in counts}
