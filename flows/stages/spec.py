"""What a stage of the job is: what it is made from, what it writes, which configuration keys decide its rows, and how
it is opened for one shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.configuration.run_context import RunContext
from pipeline.stage import Stage
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.funnel import Reject
from schemas.record import Record


def _no_facts(_: RunContext) -> Mapping[str, str]:
    return {}


def _nothing_more(_: RunFolder) -> tuple[Path, ...]:
    return ()


def _always(_: RunConfig) -> bool:
    return True


def _none(_: RunConfig) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of the job. A stage without `read` and `open` has no shards: all its work is `prepare`."""

    name: str
    upstream: str | None
    """The stage whose shards it takes, one for one."""
    unit: str
    """What its inputs are called."""
    config_keys: Callable[[RunConfig], tuple[str, ...]]
    """Configuration keys that decide its rows under a configuration, besides those of the stages before it and of the
    models that play its roles."""
    inputs: type[Record] | None = None
    """The dataset of `upstream` whose rows are counted as its inputs."""
    outputs: tuple[type[Record], ...] = ()
    """Models of the datasets it writes, besides rejects."""
    optional_outputs: tuple[type[Record], ...] = ()
    """Models of what it writes besides, under configurations that ask for it."""
    writes_optional: Callable[[RunConfig], bool] = _always
    """Whether the configuration asks for that."""
    read: Callable[[RunContext, str], Iterable[Any]] | None = None
    """Reads the inputs of a shard."""
    open: Callable[[RunContext, str], Stage[Any]] | None = None
    """Opens the stage for a shard."""
    prepare: Callable[[RunContext], None] | None = None
    """Work that must be done once, over all shards of `upstream`, before any shard."""
    made: Callable[[RunFolder], tuple[Path, ...]] = _nothing_more
    """The files that `prepare` leaves; of an index, those that describe its parts."""
    fingerprint_inputs: Callable[[RunContext], Mapping[str, str]] = _no_facts
    """What else decides its rows: fingerprints of files, models and indexes."""
    enabled: Callable[[RunConfig], bool] = _always
    """Whether the configuration asks for it; a stage that it does not ask for leaves no trace."""
    roles: Callable[[RunConfig], tuple[str, ...]] = _none
    """The roles that language models play in it, each named in `llm.roles` or played by `default`."""
    packages: Callable[[RunConfig], tuple[str, ...]] = _none
    """The packages that decide its rows, besides rampforge itself."""


def list_datasets(specs: Iterable[StageSpec]) -> dict[str, type[Record]]:
    """The model of every dataset that some stages may write, by its name; last the rejects, which any stage may."""
    written: list[type[Record]] = [model for spec in specs for model in (*spec.outputs, *spec.optional_outputs)]
    written.append(Reject)
    return {model.dataset: model for model in written}
