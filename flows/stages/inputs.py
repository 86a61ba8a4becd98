"""What the modules of the stages share: readers of datasets, files of finished stages, shares of a run's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.configuration.run_context import RunContext
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.config import StageName
from schemas.record import Record

IMPORT = "import"
"""Name under which the settings of an imported run have the format of its rows, and part of those of its files."""


def reading(model: type[Record]) -> Callable[[RunContext, str], Iterator[Any]]:
    """A reader of the shard's rows of one dataset, nothing joined to them."""
    return lambda context, shard: read_dataset(context, model, shard)


def read_dataset(context: RunContext, model: type[Any], shard: str) -> Iterator[Any]:
    """The rows of one dataset in a shard."""
    return read_rows(context.run.part(model.dataset, shard, ""), model)


def find_import(run: RunFolder) -> str | None:
    """The formats of the rows that a run was imported from, so that it has no corpus; None where it was not."""
    started = run.find_start(StageName.TASKS)
    return started.settings.get(IMPORT) if started else None


def list_files(context: RunContext, stage: str, model: type[Record]) -> list[Path]:
    """The files of a finished stage's dataset, in order."""
    context.run.manifest(stage)
    return context.run.files(model.dataset)


def share_limit(context: RunContext, stage: str, model: type[Record], shard: str, total: int | None) -> int | None:
    """A shard's part of a limit that holds for the whole run, in proportion to its rows."""
    if total is None:
        return None
    shards = context.run.manifest(stage).shards
    shares = share_out(total, [commit.rows(model.dataset) for commit in shards])
    return shares[[commit.shard for commit in shards].index(shard)]


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """Whole shares in proportion to the weights that add up to `total` (largest remainder; ties to the first)."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    exact = [total * weight / whole for weight in weights]
    shares = [int(value) for value in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (shares[i] - exact[i], i))
    for place in by_remainder[: total - sum(shares)]:
        shares[place] += 1
    return shares
