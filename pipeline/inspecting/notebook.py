"""A run in a notebook: totals, attempts as cards, rows of any query.

Guarantees: a card is a sandboxed frame that runs no script and loads nothing, so neither outside text nor its style
sheet can affect the notebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from pipeline.inspecting.attempts_table import ATTEMPTS, open_attempts
from pipeline.inspecting.locations import open_location
from pipeline.inspecting.reading import read_attempt
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.inspecting.summary import Summary, summarise
from pipeline.inspecting.text_tables import TextTable, summary_tables
from pipeline.report.example_view import view_example
from pipeline.report.page import TEMPLATES, open_environment, write_policy
from pipeline.report.report_data import ReportExample

HEIGHT = 560
"""Height of a card, in CSS pixels; it scrolls."""


@dataclass(frozen=True, slots=True)
class TrajectoryCard:
    """Trajectory with its task and, if it was judged, its judgement."""

    example: ReportExample

    def __repr__(self) -> str:
        judgement, trajectory = self.example.judgement, self.example.trajectory
        ended = "not judged" if judgement is None else "accepted" if judgement.accepted else judgement.reject_reason
        return f"<{trajectory.trajectory_id}: {self.example.task.title!r}, {len(trajectory.turns)} turns, {ended}>"

    def _repr_html_(self) -> str:
        """HTML for the notebook."""
        return f'<iframe sandbox="" width="100%" height="{HEIGHT}" srcdoc="{escape(self.page())}"></iframe>'

    def page(self) -> str:
        """The card as an HTML document."""
        style = (TEMPLATES / "report.css").read_text("utf-8")
        return (
            open_environment("pipeline.report")
            .get_template("card.html")
            .render(
                view=view_example(1, self.example),
                style=Markup(style),  # noqa: S704  # own file, not outside text
                policy=write_policy(style),
            )
        )


class RunReader:
    """Run, dataset or shard opened for reading."""

    def __init__(self, path: str | Path) -> None:
        """Raises InspectError when nothing is readable."""
        self._database, self.has_attempts = open_attempts(open_location(path))

    def summary(self) -> Summary:
        """Totals: rows, funnel, acceptance, reasons."""
        return summarise(self._database)

    def rows(self, dataset: str, where: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Rows of a dataset that match a condition in SQL. Raises InspectError."""
        return read_rows(self._database, RowQuery(dataset, where, limit)).result.as_dicts()

    def attempts(self, where: str = "", limit: int = 20) -> list[TrajectoryCard]:
        """Attempts that match a condition on the table `attempts`. Raises InspectError."""
        return [self[row["trajectory_id"]] for row in self.rows(ATTEMPTS, where, limit)]

    def __getitem__(self, trajectory_id: str) -> TrajectoryCard:
        return TrajectoryCard(read_attempt(self._database, trajectory_id))

    def __repr__(self) -> str:
        lines = (f"{name}: {self._database.listing.rows(name):,} rows" for name in self._database.listing.datasets)
        return "\n".join((self._database.listing.place.address, *lines))

    def _repr_html_(self) -> str:
        """HTML for the notebook."""
        tables: Iterator[TextTable] = (table for table in summary_tables(self.summary()) if table.title != "schema")
        return open_environment("pipeline.inspecting").get_template("summary.html").render(tables=tables)
