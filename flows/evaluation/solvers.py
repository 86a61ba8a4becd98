"""Openers for an evaluation: its search engine, its method and its models."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flows.configuration.run_context import RunContext
from flows.models.chat_models import make_stage, open_model
from flows.search_engines.registry import find_engine, open_async_engine, open_local_engine
from flows.stages.solvers import open_asking, open_extractive
from pipeline.agents.solving import Solver
from pipeline.evaluation.evaluation_stage import STAGE, EvaluationStage
from pipeline.judging.llm_judge import LlmJudge
from pipeline.llm.async_stage import AsyncStage
from pipeline.llm.chat_model import OpenedModel
from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import describe_models
from pipeline.search.batching import BatchedSearch
from pipeline.search.engine import AsyncSearchEngine
from schemas.config import RunConfig
from schemas.evaluations import EvalMethod, EvalSettings
from schemas.record import content_id
from schemas.renderings import QuestionKind
from schemas.roles import AGENT_ROLES, Role
from schemas.trajectories import PromptUse

SHARD = "0"
METHOD_ROLES = {
    EvalMethod.RAG_PE: (Role.ANSWERER,),
    EvalMethod.AGENT_PE: AGENT_ROLES,
    EvalMethod.POLICY: (Role.POLICY,),
    EvalMethod.EXTRACTIVE: (),
}
"""The roles that language models play in each method."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Context of an evaluation, and its index."""

    context: RunContext
    """Its folder and configuration."""
    index: Path
    """The index, for engines that search a local one."""


def list_eval_roles(settings: EvalSettings, config: RunConfig) -> tuple[str, ...]:
    """The roles that language models play in an evaluation."""
    judge = (Role.JUDGE,) if settings.judge else ()
    return (*METHOD_ROLES[settings.method], *judge, *find_engine(config).roles)


def digest_prompts(settings: EvalSettings, config: RunConfig, langs: Iterable[str]) -> str:
    """A hash of the templates that shape the answers; an evaluation is resumed only under the same ones."""
    from pipeline.agents.extractive.phrasing import TEMPLATES as EXTRACTIVE_TEMPLATES
    from pipeline.agents.llm_prompts import list_prompts
    from pipeline.evaluation import rag_solver
    from pipeline.evaluation.evaluation_stage import JUDGE_TEMPLATE
    from pipeline.rendering.task_text import use_templates
    from pipeline.rollouts.policy_rollout import TEMPLATES as POLICY_TEMPLATES

    uses: list[PromptUse] = []
    for lang in sorted(set(langs)):
        uses += use_templates([JUDGE_TEMPLATE] if settings.judge else [], lang)
        match settings.method:
            case EvalMethod.RAG_PE:
                uses += use_templates(rag_solver.TEMPLATES, lang)
            case EvalMethod.AGENT_PE:
                uses += list_prompts(lang, config.agents.dated, QuestionKind.QA)
            case EvalMethod.POLICY:
                uses += use_templates(POLICY_TEMPLATES[QuestionKind.QA], lang)
            case EvalMethod.EXTRACTIVE:
                uses += use_templates(EXTRACTIVE_TEMPLATES, lang)
    return content_id([[use.name, use.digest] for use in uses])


def open_bench_engine(bench: Bench) -> AsyncSearchEngine:
    """The engine that the configuration names. Raises SearchError, ConfigError."""
    context = bench.context
    if find_engine(context.config).open:
        return BatchedSearch(open_local_engine(context, bench.index))
    return open_async_engine(context, SHARD)


def open_evaluation(bench: Bench, settings: EvalSettings) -> AsyncStage:
    """The stage, ready to work."""
    context, config = bench.context, bench.context.config
    engine = open_bench_engine(bench)
    model = open_model(context, STAGE, SHARD) if list_eval_roles(settings, config) else None
    judge = LlmJudge(model.model, config.judging) if model and settings.judge else None
    stage = EvaluationStage(
        settings.method,
        _open_solver(bench, settings.method, engine, model),
        settings.runs,
        judge,
        _describe_judge(config) if judge else "",
        PriceTable(config.llm.prices).cost,
    )
    return make_stage(context, stage.work, model, engine)


def _describe_judge(config: RunConfig) -> str:
    judging = config.judging.model_dump(mode="json", include={"votes", "temperature", "max_tokens"})
    return json.dumps([judging, describe_models(config.llm.roles, (Role.JUDGE,))], sort_keys=True)


def _open_solver(bench: Bench, method: EvalMethod, engine: AsyncSearchEngine, model: OpenedModel | None) -> Solver:
    if method is EvalMethod.EXTRACTIVE or model is None:
        return open_extractive(bench.context, engine, bench.index)
    if method is not EvalMethod.RAG_PE:
        return open_asking(bench.context, Role.POLICY if method is EvalMethod.POLICY else "agents", engine, model.model)
    from pipeline.evaluation.rag_solver import RagSolver

    config = bench.context.config
    return RagSolver(engine, model.model, config.agents, config.search.k, config.llm.roles)
