"""Solvers: the methods that attempt tasks and answer questions. Heavy libraries are imported with the solver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.configuration.run_context import RunContext
from flows.models.policy import locate_policy, name_weights, open_tokenizer, read_day
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import find_role
from pipeline.search.engine import AsyncSearchEngine
from schemas.roles import Role

if TYPE_CHECKING:
    from pipeline.agents.extractive.filling import FillingScorer
    from pipeline.agents.solving import Solver


def open_extractive(context: RunContext, engine: AsyncSearchEngine, index: Path) -> Solver:
    """The extractive agents; `index` gives word frequencies. Raises SearchError, ConfigError, AssetError."""
    from pipeline.agents.extractive.agents import ExtractiveAgents
    from pipeline.agents.extractive.solver import ExtractiveSolver
    from pipeline.search.bm25 import Bm25Engine

    config, terms = context.config.agents, Bm25Engine(index)
    scorer = _open_filling_scorer(context) if config.rerank else None
    agents = ExtractiveAgents(terms.lang, terms.rarity, config.queries_per_turn, config.max_turns, scorer)
    return ExtractiveSolver(engine, agents, config, context.config.search.k)


def _open_filling_scorer(context: RunContext) -> FillingScorer:
    from flows.models.serving import names_served_scorer
    from flows.stages.span_resources import open_local_scorer

    name = context.config.masking.scorer
    if name is None or names_served_scorer(context.config):
        raise ConfigError(
            "agents.rerank needs a model on this machine, and masking.scorer names none",
            "set masking.scorer=smollm2-135m-instruct, or agents.rerank=false",
        )
    return open_local_scorer(context, name)


def open_asking(context: RunContext, policy: str, engine: AsyncSearchEngine, model: ChatModel) -> Solver:
    """The solver with a language model: `agents` or `policy`. Raises ConfigError, AssetError."""
    config = context.config
    if policy == Role.POLICY:
        from pipeline.rollouts.policy_rollout import PolicyFacts, PolicyRollout

        where = locate_policy(config, context.cache)
        tokenizer, digest = open_tokenizer(context, where)
        facts = PolicyFacts(find_role(config.llm, Role.POLICY), name_weights(where), digest)
        day = read_day(context.run)
        return PolicyRollout(engine, model, tokenizer, config.policy, config.search.k, facts, day)
    from pipeline.agents.agent_solver import AgentSolver

    return AgentSolver(engine, model, config.agents, config.search.k, config.llm.roles)
