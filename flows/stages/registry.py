"""The stages of the job, in order, and what holds for several of them: their datasets, roles and prices."""

from __future__ import annotations

from collections.abc import Iterable

from flows.stages.corpus import CORPUS
from flows.stages.difficulties import DIFFICULTIES
from flows.stages.judgements import JUDGEMENTS
from flows.stages.masking import PROPOSALS, SPANS, TASKS
from flows.stages.passages import CHUNK, DEDUP
from flows.stages.report import specify_report
from flows.stages.search_index import INDEX
from flows.stages.spec import RoundPart, StageSpec, list_datasets
from flows.stages.trajectories import TRAJECTORIES
from pipeline.errors import StorageError
from schemas.config import RunConfig, StageName
from schemas.record import Record
from schemas.roles import Role
from schemas.scale_plan import ScaleUnit

WRITING = (CORPUS, CHUNK, DEDUP, INDEX, PROPOSALS, SPANS, TASKS, TRAJECTORIES, JUDGEMENTS, DIFFICULTIES)
REPORT = specify_report(WRITING)
STAGES: dict[StageName, StageSpec] = {spec.name: spec for spec in (*WRITING, REPORT)}
"""Every stage, by name, in the order of the job."""


def list_models() -> dict[str, type[Record]]:
    """The model of every dataset that a run may hold, by its name."""
    return list_datasets(STAGES.values())


def find_spec(name: str) -> StageSpec:
    """The stage of that name."""
    return STAGES[StageName(name)]


def list_from(name: str) -> list[StageName]:
    """A stage and all after it, in the order of the job. Raises StorageError for the name of no stage."""
    names = list(STAGES)
    if name not in names:
        raise StorageError(f"{name} is not a stage", f"the stages are {', '.join(names)}")
    return names[names.index(StageName(name)) :]


def list_round_stages(*parts: RoundPart) -> list[StageName]:
    """The stages that have some part in self-distillation, in the order of the job."""
    return [name for name, spec in STAGES.items() if spec.part_of_round in parts]


def list_scaled_stages() -> dict[StageName, ScaleUnit]:
    """The stages that a plan for a whole wiki names, and what the work of each scales with."""
    return {name: spec.scales_with for name, spec in STAGES.items() if spec.scales_with}


def list_commands() -> dict[str, list[StageSpec]]:
    """The stages that each command runs, by its name, in the order of the job."""
    commands: dict[str, list[StageSpec]] = {}
    for spec in STAGES.values():
        commands.setdefault(spec.command or spec.name, []).append(spec)
    return commands


def list_roles(config: RunConfig, specs: Iterable[StageSpec]) -> tuple[str, ...]:
    """The roles that language models play in some stages, in the order of the stages."""
    return tuple(dict.fromkeys(role for spec in specs if spec.enabled(config) for role in spec.roles(config)))


def list_chat_roles(config: RunConfig, stages: Iterable[str] = STAGES) -> tuple[str, ...]:
    """The roles that some stages ask for text, and so are counted and paid for, in the order of the stages."""
    return tuple(role for role in list_roles(config, map(find_spec, stages)) if role != Role.SCORER)
