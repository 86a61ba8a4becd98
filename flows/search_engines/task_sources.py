"""Sources of the tasks of a run, which a search server hides from the client that names the task."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import ConfigError
from pipeline.search_server.requests import Exclusion
from pipeline.storage.run_folder import RunFolder
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode


def read_sources(folder: Path, hide: HideMode) -> dict[str, Exclusion]:
    """What is hidden from each task of a run, by task id. Raises ConfigError for a run without tasks."""
    sources: dict[str, Exclusion] = {}
    for path in RunFolder(folder).files(MaskTask.dataset):
        for batch in pq.ParquetFile(path).iter_batches(columns=["task_id", "passage_id", "page_id"]):
            for task_id, passage_id, page_id in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                page = page_id if hide is HideMode.PAGE else None
                sources[task_id] = Exclusion(passage_id=passage_id, page_id=page)
    if not sources:
        raise ConfigError(
            f"{folder}: no tasks whose sources could be hidden", "name a run with tasks, or leave out --hide"
        )
    return sources
