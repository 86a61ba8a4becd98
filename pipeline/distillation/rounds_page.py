"""The report of a distillation: its rounds side by side, in one HTML file that needs nothing else.

It keeps the promises of a run's report: no request leaves the page, outside text is inert, the same records give the
same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from pipeline.charts import layout
from pipeline.charts.layout import Chart, lay_lines, lay_shares
from pipeline.report.page import TEMPLATES, flatten_settings, open_environment, write_policy
from schemas.rounds import DiversityFigures, NamedCount, RoundRecord, ValidationFigures

OWN = files("pipeline.distillation") / "templates"


def build_page(
    name: str, records: Sequence[RoundRecord], student: ValidationFigures | None, config: Mapping[str, Any]
) -> str:
    """The report as one HTML document.

    `student`: how it did on what is held out, once it is trained; `config`: the whole configuration as plain values.
    """
    environment = open_environment("pipeline.distillation", "pipeline.report")
    style = (TEMPLATES / "report.css").read_text("utf-8") + (OWN / "rounds.css").read_text("utf-8")
    charts = [chart for chart in list_charts(records) if chart]
    return environment.get_template("rounds.html").render(
        name=name,
        records=records,
        student=student,
        style=Markup(style),  # noqa: S704  # our own files, not outside text
        policy=write_policy(style),
        charts=charts,
        frame=layout,
        settings=list(flatten_settings(dict(config))),
        seconds=[sum(step.seconds for step in record.seconds) for record in records],
    )


def list_charts(records: Sequence[RoundRecord]) -> list[Chart | None]:
    """The charts, in the order they are shown; None where no round has the figures."""
    held = [record.validation for record in records]
    figures = [record.diversity for record in records]
    masks = sorted({part.masks for record in records for part in record.by_masks})
    trained = [record.training for record in records]
    return [
        lay_lines(
            "What is held out",
            "mean over all attempts",
            {name: [getattr(one, name) if one else None for one in held] for name in ("recall", "exact", "f1")},
        ),
        lay_lines(
            "Accepted attempts",
            "share, by number of masks",
            {
                "all": [record.accept_rate if record.attempts else None for record in records],
                **{f"{k} masks" if k > 1 else "1 mask": [_rate(record, k) for record in records] for k in masks},
            },
        ),
        lay_lines(
            "Variety of the thoughts",
            "distinct n-grams in blocks of equal length",
            {"words": _list(figures, "distinct_1"), "pairs": _list(figures, "distinct_2")}
            | {"triples": _list(figures, "distinct_3")},
        ),
        lay_lines(
            "Variety of the queries",
            "shares",
            {"wordings, distinct": _list(figures, "queries_distinct")}
            | {"word pairs, distinct": _list(figures, "query_distinct_2")},
        ),
        lay_lines(
            "Repetition and drift",
            "duplicate attempts; divergence from the round before",
            {"duplicates": _list(figures, "duplicates"), "drift": _list(figures, "drift")},
        ),
        lay_lines(
            "Loss of the teacher",
            "first and last logged step",
            {"first": [one.first_loss if one else None for one in trained]}
            | {"last": [one.last_loss if one else None for one in trained]},
        ),
        lay_shares("Searches", "attempts by number of search calls", [_count(one.searches) for one in figures]),
        lay_shares("Turns", "attempts by number of turns", [_count(one.turns) for one in figures]),
        lay_shares("Kinds of answer", "masks of accepted attempts", [_count(one.kinds) for one in figures]),
        lay_shares("Not accepted", "attempts by reason", [_count(record.rejects) for record in records]),
        lay_shares("Time", "by step", [{step.step: step.seconds for step in record.seconds} for record in records]),
    ]


def _rate(record: RoundRecord, masks: int) -> float | None:
    return next((part.accepted / part.attempts for part in record.by_masks if part.masks == masks), None)


def _list(figures: Sequence[DiversityFigures], name: str) -> list[float | None]:
    return [getattr(one, name) for one in figures]


def _count(counts: Sequence[NamedCount]) -> dict[str, float]:
    return {one.name: float(one.count) for one in counts}
