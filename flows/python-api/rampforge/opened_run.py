"""A run opened for reading: its sums, its datasets as tables or records, its trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from pipeline.errors import StorageError
from pipeline.storage.remote.open_run import open_run as open_folder
from schemas.config import RunConfig
from schemas.funnel import FunnelStep
from schemas.ledger import RunRecord
from schemas.record import Record

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Dataset

    from pipeline.inspecting.notebook import RunReader, TrajectoryCard


class Run:
    """A run, as far as it has got. A notebook shows its sums."""

    def __init__(self, location: str | Path) -> None:
        """Raises StorageError where there is no run."""
        self._run = open_folder(location, cache_folder())
        self._run.record()

    @property
    def location(self) -> str:
        """Its folder, or its URL."""
        return self._run.location

    @property
    def name(self) -> str:
        """Its name."""
        return self._run.name

    @property
    def record(self) -> RunRecord:
        """run.json: versions, sources, models, fingerprints, times, what language models cost."""
        return self._run.record()

    @property
    def config(self) -> RunConfig:
        """The configuration that continues it."""
        return recall_config(self._run)

    @property
    def funnel(self) -> tuple[FunnelStep, ...]:
        """The sums of each finished stage: in = out + rejected, by reason."""
        from flows.stages.run_record import collect_funnel

        return collect_funnel(self._run)

    @property
    def report(self) -> Path:
        """The file of the report. Raises StorageError where it is not drawn yet."""
        path = self._run.fetch(self._run.report, changing=True)
        if not path.exists():
            raise StorageError(f"{self.location}: no report is drawn", f"rampforge resume {self.location}")
        return path

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets that hold finished shards."""
        from flows.stages.registry import list_models

        return tuple(name for name in list_models() if self._run.files(name))

    def files(self, dataset: str) -> list[Path]:
        """The finished Parquet files of a dataset. Raises StorageError where there are none."""
        if found := self._run.files(dataset):
            return found
        there = ", ".join(self.datasets) or "none"
        raise StorageError(f"{self.location}: there is no dataset {dataset}", f"there are: {there}")

    def table(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A dataset as a pyarrow table, or some columns of it. Raises StorageError."""
        import pyarrow.parquet as pq

        from pipeline.storage.shards import reading_boundary

        files = self.files(dataset)
        with reading_boundary(files[0].parent, self.location):
            return pq.read_table(files, columns=None if columns is None else list(columns))

    def dataset(self, dataset: str) -> Dataset:
        """A dataset for the library `datasets`, memory-mapped. Raises StorageError."""
        from datasets import Dataset

        return Dataset.from_parquet([str(path) for path in self.files(dataset)])

    def records(self, dataset: str) -> Iterator[Record]:
        """The rows of a dataset one by one, as records of `schemas`. Raises StorageError."""
        from flows.stages.registry import list_models
        from pipeline.storage.shards import read_rows

        files = self.files(dataset)
        return (row for path in files for row in read_rows(path, list_models()[dataset]))

    def rows(self, dataset: str, where: str = "", limit: int = 20) -> list[dict[str, Any]]:
        """Rows of a dataset, or of the table `attempts`, for which a condition in SQL holds. Raises InspectError."""
        return self._reader.rows(dataset, where, limit)

    def trajectories(self, where: str = "", limit: int = 20) -> list[TrajectoryCard]:
        """Trajectories with task and judgement, which a notebook shows as the report does. Raises InspectError.

        `where`: a condition in SQL over the table `attempts`, such as "accepted AND masks = 2".
        """
        return self._reader.attempts(where, limit)

    def __getitem__(self, trajectory_id: str) -> TrajectoryCard:
        return self._reader[trajectory_id]

    def __repr__(self) -> str:
        return f"<Run {self.location}: {', '.join(self.datasets) or 'nothing finished yet'}>"

    def _repr_html_(self) -> str:
        """The summary, as HTML for a notebook."""
        return self._reader._repr_html_()

    @cached_property
    def _reader(self) -> RunReader:
        from pipeline.inspecting.notebook import RunReader

        return RunReader(self.location)


def open_run(location: str | Path) -> Run:
    """Open a run for reading.

        run = rampforge.open_run("outputs/demo")
        tasks = run.table("tasks", columns=["task_id", "masked_text"]).to_pandas()
        run.trajectories("accepted AND masks = 2", limit=3)[0]

    Args:
        location: The run's folder, or its URL.

    Raises:
        StorageError: There is no run.
    """
    return Run(location)
