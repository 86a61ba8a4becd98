"""The specification of a stage: its inputs and outputs, the settings that its rows depend on, and how to open it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from flows.configuration.run_context import RunContext
from pipeline.stage import Stage
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig, StageName
from schemas.funnel import Reject
from schemas.record import Record
from schemas.scale_plan import ScaleUnit


class RoundPart(StrEnum):
    """The part of a stage in self-distillation."""

    SHARED = "shared"
    """Done once; all rounds link its files."""
    ROUND = "round"
    """Done in every round and every validation."""
    TAUGHT = "taught"
    """Done in the rounds whose tasks a trained teacher attempts."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of the job. A stage without `read` and `open` has no shards: all its work is `prepare`."""

    name: StageName
    summary: str
    """Help of its command, in the imperative."""
    inputs: tuple[StageName, ...]
    """The stages it reads. It has the shards of the first. The others must be finished, where they are enabled; the
    digests of those that write datasets are part of its settings."""
    unit: str
    """Name of one input."""
    scales_with: ScaleUnit | None
    """What its work scales with; None for a stage that `rampforge plan --scale` leaves out."""
    config_keys: Callable[[RunConfig], tuple[str, ...]]
    """Configuration keys that decide its rows under a configuration, besides those of the stages before it and of the
    models that play its roles."""
    counted: type[Record] | None = None
    """The dataset of its first input whose rows are counted as its inputs."""
    outputs: tuple[type[Record], ...] = ()
    """Models of the datasets it writes, besides rejects."""
    optional_outputs: tuple[type[Record], ...] = ()
    """Models of what it writes besides, under configurations that ask for it."""
    writes_optional: Callable[[RunConfig], bool] = lambda _: True
    """Whether the configuration enables these."""
    read: Callable[[RunContext, str], Iterable[Any]] | None = None
    """Reads the inputs of a shard."""
    open: Callable[[RunContext, str], Stage[Any]] | None = None
    """Opens the stage for a shard."""
    prepare: Callable[[RunContext], None] | None = None
    """Work that must be done once, over all shards of its inputs, before any shard."""
    made: Callable[[RunFolder], tuple[Path, ...]] = lambda _: ()
    """The files that `prepare` leaves; of an index, those that describe its parts."""
    fingerprint_inputs: Callable[[RunContext], Mapping[str, str]] = lambda _: {}
    """What else its rows depend on: fingerprints of files, models and indexes."""
    functions: Callable[[RunConfig], Mapping[str, str]] = lambda _: {}
    """The user's functions that it calls, MODULE:FUNCTION, by configuration key. They are imported before a session
    starts, and their modules' sources are part of its settings."""
    enabled: Callable[[RunConfig], bool] = lambda _: True
    """Whether the configuration enables it; a disabled stage leaves no trace."""
    roles: Callable[[RunConfig], tuple[str, ...]] = lambda _: ()
    """The roles that language models play in it, each named in `llm.roles` or played by `default`."""
    packages: Callable[[RunConfig], tuple[str, ...]] = lambda _: ()
    """The packages that decide its rows, besides rampforge itself."""
    part_of_round: RoundPart | None = None
    """Its part in self-distillation; None for a stage that no round does by itself."""
    command: str = ""
    """The command that runs it, together with other stages of that command; its own name where empty."""


def list_datasets(specs: Iterable[StageSpec]) -> dict[str, type[Record]]:
    """The model of every dataset that some stages may write, by its name; last the rejects, which any stage may."""
    written: list[type[Record]] = [model for spec in specs for model in (*spec.outputs, *spec.optional_outputs)]
    written.append(Reject)
    return {model.dataset: model for model in written}
