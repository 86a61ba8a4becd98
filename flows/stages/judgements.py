"""The stage that judges trajectories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from flows.configuration.run_context import RunContext
from flows.stages.inputs import find_import, read_dataset
from flows.stages.library_versions import OPENCC, is_chinese
from flows.stages.spec import RoundPart, StageSpec
from pipeline.components import identify_component, load_component
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


def _list_functions(config: RunConfig) -> Mapping[str, str]:
    name = config.judging.function
    return {FUNCTION_KEY: name} if config.judging.judge == "custom" and name else {}


def judging_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide which attempts are accepted."""
    from pipeline.judging.judge_stage import RULE_KEYS

    if config.judging.judge == "llm":
        return ("judging",)
    return ("judging.judge", *(f"judging.{key}" for key in sorted(RULE_KEYS)))


def judging_packages(config: RunConfig) -> tuple[str, ...]:
    """Packages that compare answers."""
    return ("rapidfuzz", *((OPENCC,) if is_chinese(config) else ()))


def read_attempts(context: RunContext, shard: str) -> Iterator[Any]:
    """Each trajectory with its task and the passages of its page."""
    from pipeline.judging.judge_stage import JudgedAttempt

    tasks = {task.task_id: task for task in read_dataset(context, MaskTask, shard)}
    pages = _group_by_page(context, shard)
    for trajectory in read_dataset(context, Trajectory, shard):
        task = tasks[trajectory.task_id]
        yield JudgedAttempt(trajectory, task, pages.get(task.document_id, frozenset()))


def _group_by_page(context: RunContext, shard: str) -> dict[str, frozenset[str]]:
    """The ids of the passages of each page; none in an imported run. A page is never divided between shards."""
    columns = ["document_id", "passage_id"]
    if find_import(context.run):
        return {}
    path = context.run.part(Passage.dataset, shard, StageName.DEDUP)
    with reading_boundary(path):
        table = pq.read_table(path, columns=columns)
    pages: dict[str, set[str]] = {}
    for document_id, passage_id in zip(*(table[column].to_pylist() for column in columns), strict=True):
        pages.setdefault(document_id, set()).add(passage_id)
    return {document_id: frozenset(passages) for document_id, passages in pages.items()}


def open_judgements(context: RunContext, shard: str) -> Stage[Any]:
    """The stage from trajectories to judgements."""
    from flows.stages.span_resources import open_counts
    from pipeline.judging.judge_stage import JudgeStage

    counts = None if find_import(context.run) else open_counts(context)
    if context.config.judging.judge == "llm":
        from flows.models.chat_models import make_stage, open_model
        from pipeline.judging.llm_judge_stage import LlmJudgeStage

        model = open_model(context, StageName.JUDGEMENTS, shard)
        stage = LlmJudgeStage(context.config.judging, model.model, context.config.llm.roles, counts)
        return make_stage(context, stage.work, model)
    if name := _list_functions(context.config).get(FUNCTION_KEY):
        from pipeline.judging.custom_judge_stage import CustomJudgeStage

        decide, identity = load_component(FUNCTION_KEY, name), identify_component(FUNCTION_KEY, name)
        return CustomJudgeStage(context.config.judging, decide, identity, counts)
    return JudgeStage(context.config.judging, counts)


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
    functions=_list_functions,
    roles=lambda config: (Role.JUDGE,) if config.judging.judge == "llm" else (),
    part_of_round=RoundPart.ROUND,
    command="judge",
)
