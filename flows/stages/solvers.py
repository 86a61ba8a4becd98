"""Solvers: the methods that attempt tasks and answer questions. Heavy libraries are imported with the solver."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flows.configuration.run_context import RunContext
from flows.models.policy import locate_policy, name_weights, open_tokenizer, read_day
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import find_role
from pipeline.search.engine import AsyncSearchEngine
from schemas.roles import Role

if TYPE_CHECKING:
    from pipeline.agents.solving import Solver


def open_extractive(context: RunContext, engine: AsyncSearchEngine, index: Path) -> Solver:
    """The extractive agents; `index` gives word frequencies. Raises SearchError."""
    from pipeline.agents.extractive.agents import ExtractiveAgents
    from pipeline.agents.extractive.solver import ExtractiveSolver
    from pipeline.search.bm25 import Bm25Engine

    config, terms = context.config.agents, Bm25Engine(index)
    agents = ExtractiveAgents(terms.lang, terms.rarity, config.queries_per_turn, config.max_turns)
    return ExtractiveSolver(engine, agents, config, context.config.search.k)


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
