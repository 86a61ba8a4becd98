"""The stage that measures how hard the tasks are, and the reader of what it has measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.configuration.run_context import RunContext
from flows.stages.inputs import read_dataset
from flows.stages.judgements import judging_packages
from flows.stages.spec import RoundPart, StageSpec
from pipeline.stage import Stage
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.config import RunConfig, StageName
from schemas.difficulties import Difficulty
from schemas.judgements import Judgement
from schemas.roles import Role
from schemas.tasks import MaskTask


def _closed_roles(config: RunConfig) -> tuple[str, ...]:
    """The role of the closed-book model."""
    return (Role.CLOSED_BOOK,) if config.policy.closed_book else ()


def read_tried(context: RunContext, shard: str) -> Iterator[Any]:
    """Each task of a shard with the judgements on its attempts."""
    from pipeline.difficulty.stage import TriedTask

    judged: dict[str, list[Judgement]] = {}
    for judgement in read_dataset(context, Judgement, shard):
        judged.setdefault(judgement.task_id, []).append(judgement)
    for task in read_dataset(context, MaskTask, shard):
        yield TriedTask(task, tuple(judged.get(task.task_id, ())))


def open_difficulties(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from tasks to difficulties."""
    from flows.models.chat_models import make_stage, open_model
    from pipeline.difficulty.stage import DifficultyStage

    config = context.config
    model = open_model(context, StageName.DIFFICULTIES, shard) if config.policy.closed_book else None
    stage = DifficultyStage(config.policy, config.judging, model.model if model else None)
    return make_stage(context, stage.work, model)


def read_difficulties(run: RunFolder) -> dict[str, Difficulty]:
    """Measured difficulties of a run, by task; empty without any."""
    from pipeline.difficulty.learnable import index_difficulties

    paths = run.files(Difficulty.dataset)
    return index_difficulties(row for path in paths for row in read_rows(path, Difficulty))


def difficulty_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys of the closed-book attempts, and of the rules that judge them."""
    if not config.policy.closed_book:
        return ("policy.closed_book",)
    names = ("closed_book", "temperature", "top_p", "max_turn")
    return (*(f"policy.{key}" for key in names), "judging.min_fuzzy", "judging.min_recall")


DIFFICULTIES = StageSpec(
    StageName.DIFFICULTIES,
    "Measure how often each task is solved, with policy.difficulties or policy.closed_book (difficulties/).",
    inputs=(StageName.TASKS, StageName.JUDGEMENTS),
    unit="task",
    scales_with=None,
    config_keys=difficulty_keys,
    packages=lambda config: judging_packages(config) if config.policy.closed_book else (),
    counted=MaskTask,
    outputs=(Difficulty,),
    read=read_tried,
    open=open_difficulties,
    enabled=lambda config: config.policy.measures,
    roles=_closed_roles,
    part_of_round=RoundPart.TAUGHT,
)
