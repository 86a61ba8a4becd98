"""A run in a notebook: totals, attempts as cards, rows of any query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.inspecting.attempts_table import ATTEMPTS, open_attempts
from pipeline.inspecting.locations import open_location
from pipeline.inspecting.reading import read_attempt
from pipeline.inspecting.row_query import RowQuery, read_rows
from pipeline.inspecting.summary import Summary, summarise
from pipeline.inspecting.text_tables import TextTable, summary_tables
from pipeline.report.notebook import TrajectoryCard
from pipeline.report.page import open_environment


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
