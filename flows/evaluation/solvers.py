"""Opens what an evaluation needs: the engine, the method and its models."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flows.configuration.run_context import RunContext
from flows.models.chat_models import make_stage, open_model
from flows.models.policy import POLICY, load_tokenizer, locate_policy, name_weights
from flows.search_engines.registry import LOCAL, open_async_engine, open_local_engine
from pipeline.agents.attempt_services import EngineAlone, ModelWithEngine
from pipeline.agents.llm_roles import ROLES as AGENT_ROLES
from pipeline.evaluation.evaluation_stage import STAGE, EvaluationStage
from pipeline.evaluation.rag_solver import ROLE as ANSWERER
from pipeline.evaluation.solving import Solver
from pipeline.judging.llm_judge import ROLE as JUDGE
from pipeline.judging.llm_judge import LlmJudge
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.concurrent_stage import ConcurrentStage
from pipeline.llm.prices import PriceTable
from pipeline.llm.roles import describe_models, find_role
from pipeline.search.batching import BatchedSearch
from pipeline.search.engine import AsyncSearchEngine
from pipeline.search.simulated.source import ROLE as SIMULATOR
from schemas.config import RunConfig
from schemas.evaluations import EvalMethod, EvalSettings
from schemas.record import content_id
from schemas.renderings import QuestionKind
from schemas.search_config import EngineKind
from schemas.trajectories import PromptUse

SHARD = "0"
SEARCHES_IN_FLIGHT = 64
"""Questions under work at once where no language model is asked."""
METHOD_ROLES = {
    EvalMethod.RAG_PE: (ANSWERER,),
    EvalMethod.AGENT_PE: AGENT_ROLES,
    EvalMethod.POLICY: (POLICY,),
    EvalMethod.EXTRACTIVE: (),
}
"""The roles that language models play in each method."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where an evaluation is worked on."""

    context: RunContext
    """Its folder and configuration."""
    index: Path
    """The index that is searched, for engines that search one of ours."""


def list_eval_roles(settings: EvalSettings, config: RunConfig) -> tuple[str, ...]:
    """The roles that language models play in an evaluation."""
    judge = (JUDGE,) if settings.judge else ()
    simulator = (SIMULATOR,) if config.search.engine is EngineKind.SIMULATED else ()
    return (*METHOD_ROLES[settings.method], *judge, *simulator)


def digest_prompts(settings: EvalSettings, config: RunConfig, langs: Iterable[str]) -> str:
    """A hash of the templates that shape the answers: an evaluation half done under others is not gone on with."""
    from pipeline.agents.extractive.phrasing import list_prompts as list_extractive
    from pipeline.agents.llm_prompts import list_prompts
    from pipeline.evaluation import policy_solver, rag_solver
    from pipeline.evaluation.evaluation_stage import JUDGE_TEMPLATE
    from pipeline.rendering.task_text import use_templates

    uses: list[PromptUse] = []
    for lang in sorted(set(langs)):
        uses += use_templates([JUDGE_TEMPLATE] if settings.judge else [], lang)
        match settings.method:
            case EvalMethod.RAG_PE:
                uses += use_templates(rag_solver.TEMPLATES, lang)
            case EvalMethod.AGENT_PE:
                uses += list_prompts(lang, config.agents.dated, QuestionKind.QA)
            case EvalMethod.POLICY:
                uses += use_templates(policy_solver.TEMPLATES, lang)
            case EvalMethod.EXTRACTIVE:
                uses += list_extractive(lang)
    return content_id([[use.name, use.digest] for use in uses])


def open_bench_engine(bench: Bench) -> AsyncSearchEngine:
    """The engine that the configuration names. Raises SearchError, ConfigError."""
    context = bench.context
    if context.config.search.engine in LOCAL:
        return BatchedSearch(open_local_engine(bench.index, context.config, context.cache))
    return open_async_engine(context, SHARD)


def open_evaluation(bench: Bench, settings: EvalSettings, stack: ExitStack) -> ConcurrentStage:
    """The stage, ready to work; what it opens is closed with the stack."""
    context, config = bench.context, bench.context.config
    engine = open_bench_engine(bench)
    if not list_eval_roles(settings, config):
        solver = _open_extractive(bench, engine)
        stage = EvaluationStage(settings.method, solver, engine.fingerprint, settings.runs)
        return ConcurrentStage(stage.work, SEARCHES_IN_FLIGHT, EngineAlone(engine))
    model = stack.enter_context(open_model(context, STAGE, SHARD))
    judge = LlmJudge(model, config.judging) if settings.judge else None
    stage = EvaluationStage(
        settings.method,
        _open_solver(bench, settings.method, engine, model),
        engine.fingerprint,
        settings.runs,
        judge,
        _describe_judge(config) if judge else "",
        PriceTable(config.llm.prices).cost,
    )
    return make_stage(context, ModelWithEngine(model, engine), stage.work)


def _describe_judge(config: RunConfig) -> str:
    judging = config.judging.model_dump(mode="json", include={"votes", "temperature", "max_tokens"})
    return json.dumps([judging, describe_models(config.llm.roles, (JUDGE,))], sort_keys=True)


def _open_solver(bench: Bench, method: EvalMethod, engine: AsyncSearchEngine, model: JournaledChatModel) -> Solver:
    from pipeline.evaluation.agent_solver import AgentSolver
    from pipeline.evaluation.rag_solver import RagSolver

    config = bench.context.config
    if method is EvalMethod.RAG_PE:
        return RagSolver(engine, model, config.agents, config.search.k, config.llm.roles)
    if method is EvalMethod.AGENT_PE:
        return AgentSolver(engine, model, config.agents, config.search.k, config.llm.roles)
    if method is EvalMethod.POLICY:
        return _open_policy(bench, engine, model)
    return _open_extractive(bench, engine)


def _open_extractive(bench: Bench, engine: AsyncSearchEngine) -> Solver:
    from pipeline.agents.extractive.agents import ExtractiveAgents
    from pipeline.evaluation.agent_solver import ExtractiveSolver
    from pipeline.search.bm25 import Bm25Engine

    config = bench.context.config
    terms = Bm25Engine(bench.index)
    return ExtractiveSolver(engine, ExtractiveAgents(terms.lang, terms.rarity), config.agents, config.search.k)


def _open_policy(bench: Bench, engine: AsyncSearchEngine, model: JournaledChatModel) -> Solver:
    from pipeline.evaluation.policy_solver import PolicyEvaluator
    from pipeline.rollouts.policy_rollout import PolicySolver
    from pipeline.rollouts.trajectory_stage import PolicyFacts

    config, k = bench.context.config, bench.context.config.search.k
    where = locate_policy(config, bench.context.cache)
    tokenizer, digest = load_tokenizer(where)
    facts = PolicyFacts(find_role(config.llm, POLICY), name_weights(where), digest, engine.fingerprint, k)
    return PolicyEvaluator(PolicySolver(engine, model, tokenizer, config.policy, k), config.policy, facts)
