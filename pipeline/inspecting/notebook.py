"""A run in a notebook: its sums, its attempts as a list of cards, any query as rows."""

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
    """A run, a dataset or a shard, opened for reading."""

    def __init__(self, path: str | Path) -> None:
        """Raises InspectError where nothing can be read."""
        self._database, self.has_attempts = open_attempts(open_location(path))

    def summary(self) -> Summary:
        """Sums: rows, funnel, acceptance, reasons."""
        return summarise(self._database)

    def rows(self, dataset: str, where: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Rows of a dataset for which a condition in SQL holds. Raises InspectError."""
        return read_rows(self._database, RowQuery(dataset, where, limit)).found.as_dicts()

    def attempts(self, where: str = "", limit: int = 20) -> list[TrajectoryCard]:
        """Attempts for which a condition on the table `attempts` holds. Raises InspectError."""
        return [self[row["trajectory_id"]] for row in self.rows(ATTEMPTS, where, limit)]

    def __getitem__(self, trajectory_id: str) -> TrajectoryCard:
        return TrajectoryCard(read_attempt(self._database, trajectory_id))

    def __repr__(self) -> str:
        lines = (f"{name}: {self._database.listing.rows(name):,} rows" for name in self._database.listing.datasets)
        return "\n".join((self._database.listing.place.address, *lines))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        grids: Iterator[TextTable] = (grid for grid in summary_tables(self.summary()) if grid.title != "schema")
        return open_environment("pipeline.inspecting").get_template("summary.html").render(grids=grids)
