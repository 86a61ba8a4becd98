"""The stage that judges trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from flows.configuration.components import identify_component, load_component
from flows.configuration.run_context import RunContext
from flows.stages.inputs import read_dataset
from flows.stages.library_versions import OPENCC, is_chinese
from flows.stages.spec import RoundPart, StageSpec
from pipeline.stage import Stage
from pipeline.storage.shards import reading_boundary
from schemas.config import RunConfig, StageName
from schemas.judgements import Judgement
from schemas.passages import Passage
from schemas.roles import Role
from schemas.scale_plan import ScaleUnit
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

FUNCTION_KEY = "judging.function"


def _judge_roles(config: RunConfig) -> tuple[str, ...]:
    return (Role.JUDGE,) if config.judging.judge == "llm" else ()


def _find_function(config: RunConfig) -> str | None:
    return config.judging.function if config.judging.judge == "custom" else None


def _judge_fingerprints(context: RunContext) -> Mapping[str, str]:
    function = _find_function(context.config)
    return {"custom judge": identify_component(FUNCTION_KEY, function)} if function else {}


def judging_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides which attempts are accepted."""
    from pipeline.judging.judge_stage import RULE_KEYS

    if config.judging.judge == "llm":
        return ("judging",)
    return ("judging.judge", *(f"judging.{key}" for key in sorted(RULE_KEYS)))


def judging_packages(config: RunConfig) -> tuple[str, ...]:
    """What compares answers."""
    return ("rapidfuzz", *((OPENCC,) if is_chinese(config) else ()))


def read_attempts(context: RunContext, shard: str) -> Iterator[Any]:
    """Each trajectory with its task and the passages of its page."""
    from pipeline.judging.judge_stage import JudgedAttempt

    tasks = {task.task_id: task for task in read_dataset(context, MaskTask, shard)}
    pages = _group_by_page(context, shard)
    for trajectory in read_dataset(context, Trajectory, shard):
        task = tasks[trajectory.task_id]
        yield JudgedAttempt(trajectory, task, pages[task.document_id])


def _group_by_page(context: RunContext, shard: str) -> dict[str, frozenset[str]]:
    """The ids of the passages of each page. A page is never divided between shards."""
    columns = ["document_id", "passage_id"]
    path = context.run.part(Passage.dataset, shard, StageName.DEDUP)
    with reading_boundary(path):
        table = pq.read_table(path, columns=columns)
    pages: dict[str, set[str]] = {}
    for document_id, passage_id in zip(*(table[column].to_pylist() for column in columns), strict=True):
        pages.setdefault(document_id, set()).add(passage_id)
    return {document_id: frozenset(passages) for document_id, passages in pages.items()}


def open_judgements(context: RunContext, shard: str) -> Stage[Any]:
    """Trajectories to judgements."""
    from pipeline.judging.judge_stage import JudgeStage

    if context.config.judging.judge == "llm":
        from flows.models.chat_models import make_stage, open_model
        from pipeline.judging.llm_judge_stage import LlmJudgeStage

        model = open_model(context, StageName.JUDGEMENTS, shard)
        stage = LlmJudgeStage(context.config.judging, model.model, context.config.llm.roles)
        return make_stage(context, stage.work, model)
    if (function := _find_function(context.config)) is not None:
        from pipeline.judging.custom_judge_stage import CustomJudgeStage

        decide, identity = load_component(FUNCTION_KEY, function), identify_component(FUNCTION_KEY, function)
        return CustomJudgeStage(context.config.judging, decide, identity)
    return JudgeStage(context.config.judging)


JUDGEMENTS = StageSpec(
    StageName.JUDGEMENTS,
    "Judge every trajectory (judgements/).",
    inputs=(StageName.TRAJECTORIES,),
    unit="trajectory",
    scales_with=ScaleUnit.ATTEMPTS,
    config_keys=judging_keys,
    packages=judging_packages,
    counted=Trajectory,
    outputs=(Judgement,),
    read=read_attempts,
    open=open_judgements,
    fingerprint_inputs=_judge_fingerprints,
    roles=_judge_roles,
    part_of_round=RoundPart.ROUND,
    command="judge",
)
