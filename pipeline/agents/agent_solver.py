"""Planner, rewriter and observer played by language models, on tasks and (Agent-PE) on questions.

The answer to a question may stand in no passage, such as yes or no.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.agents.episode import run_episode
from pipeline.agents.llm_prompts import list_prompts
from pipeline.agents.llm_roles import LlmAgents
from pipeline.agents.solving import Provenance, Rollout, TaskAttempt
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import draw_date
from pipeline.search.engine import AsyncSearchEngine
from schemas.config import AgentsConfig
from schemas.llm_config import RoleModelConfig
from schemas.renderings import QuestionKind
from schemas.roles import AGENT_ROLES

POLICY = "agents"


class AgentSolver:
    """Runs an episode for each attempt."""

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        config: AgentsConfig,
        k: int,
        models: Mapping[str, RoleModelConfig],
    ) -> None:
        """`models`: the configuration's `llm.roles`, part of the ids."""
        self._engine = engine
        self._asker = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, config.parse_retries))
        self._config = config
        self._k = k
        self._models = describe_models(models, AGENT_ROLES)

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """The models of the three roles."""
        config, task = self._config, attempt.task
        names = ("max_turns", "queries_per_turn", "temperature", "max_tokens", "parse_retries")
        settings = {"k": self._k, "models": self._models} | {name: getattr(config, name) for name in names}
        if task.kind is QuestionKind.QA:
            settings["dated"] = config.dated
        else:
            date = self._draw_date(attempt)
            settings |= {"allow_memory": config.allow_memory} | ({"date": date} if date else {})
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        prompts = list_prompts(task.lang, config.dated, task.kind)
        return Provenance(POLICY, name_models(self._models), prompts, sampling, self._engine.fingerprint)

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Step by step until the observer answers, the agents give up, or turns run out."""
        agents = LlmAgents(self._asker, self._config, self._draw_date(attempt), usage)
        return await run_episode(attempt, agents, self._engine, self._k, self._config.max_turns)

    def _draw_date(self, attempt: TaskAttempt) -> str:
        # The same day for every hide mode: only the search differs between them, and equal prompts are one call.
        return draw_date(attempt.key, attempt.number) if self._config.dated else ""
