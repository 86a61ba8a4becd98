"""Opens the stage that measures difficulty, and reads what it has measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flows.configuration.run_context import RunContext
from flows.models.policy import CLOSED_BOOK
from pipeline.stage import Stage
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import digest_manifest
from schemas.config import RunConfig
from schemas.difficulties import Difficulty
from schemas.judgements import Judgement
from schemas.tasks import MaskTask

Read = Callable[[RunContext, str], Iterator[Any]]


def list_closed_roles(config: RunConfig) -> tuple[str, ...]:
    """The role of the model that is asked without searching."""
    return (CLOSED_BOOK,) if config.policy.closed_book else ()


def difficulty_facts(context: RunContext) -> Mapping[str, str]:
    """The judgements that are counted."""
    return {"judgements": digest_manifest(context.run.manifest("judgements"))}


def read_tried(context: RunContext, shard: str) -> Iterator[Any]:
    """Each task of a shard with the judgements on its attempts."""
    from pipeline.difficulty.stage import TriedTask

    judged: dict[str, list[Judgement]] = {}
    for judgement in read_rows(context.run.part(Judgement.dataset, shard, ""), Judgement):
        judged.setdefault(judgement.task_id, []).append(judgement)
    for task in read_rows(context.run.part(MaskTask.dataset, shard, ""), MaskTask):
        yield TriedTask(task, tuple(judged.get(task.task_id, ())))


def open_difficulties(context: RunContext, shard: str) -> Stage[Any]:
    """Tasks to how hard they are."""
    from pipeline.difficulty.stage import DifficultyStage
    from pipeline.llm.concurrent_stage import ConcurrentStage

    config = context.config
    if not config.policy.closed_book:
        return ConcurrentStage(DifficultyStage(config.policy, config.judging, None).work, config.llm.in_flight)
    from flows.models.chat_models import make_stage, open_model

    model = open_model(context, "difficulties", shard)
    return make_stage(context, model, DifficultyStage(config.policy, config.judging, model).work)


def read_difficulties(run: RunFolder) -> dict[str, Difficulty]:
    """What a run has measured, by task; empty where it has not."""
    from pipeline.difficulty.learnable import index_difficulties

    paths = run.files(Difficulty.dataset)
    return index_difficulties(row for path in paths for row in read_rows(path, Difficulty))
