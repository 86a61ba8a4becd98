"""Planner, rewriter and observer on a question: Agent-PE with a language model, `extractive` with none.

The extractive agents fill gaps, so they get the question as a sentence with one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.agents.episode import Episode
from pipeline.agents.episode_runner import AgentSeats, LlmSeats, Seats, play_episode
from pipeline.agents.llm_prompts import list_prompts
from pipeline.agents.llm_roles import ROLES, LlmRoles
from pipeline.agents.roles import Agents, OpenTask
from pipeline.evaluation.question_gaps import put_gap
from pipeline.evaluation.solving import AnswerAttempt, Manner, OpenQuestion, sum_turns
from pipeline.llm.chat_model import ChatModel
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.task_text import draw_date
from pipeline.search.engine import AsyncSearchEngine, SearchRequest
from schemas.config import AgentsConfig
from schemas.llm_config import RoleModelConfig
from schemas.renderings import QuestionKind
from schemas.tasks import AnswerStyle


class AgentSolver:
    """Agent-PE: the prompted agents, who may also answer what stands in no passage, such as yes or no."""

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        config: AgentsConfig,
        k: int,
        models: Mapping[str, RoleModelConfig],
    ) -> None:
        """`models`: the configuration's `llm.roles`."""
        self._engine = engine
        self._config = config.model_copy(update={"allow_memory": True})
        self._roles = LlmRoles(model, self._config)
        self._k = k
        self._models = describe_models(models, ROLES)

    def describe(self, lang: str) -> Manner:
        """The models of the three roles."""
        config = self._config
        names = ("max_turns", "queries_per_turn", "temperature", "max_tokens", "parse_retries", "dated")
        settings = {"k": self._k, "models": self._models} | {name: getattr(config, name) for name in names}
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        return Manner(name_models(self._models), list_prompts(lang, config.dated, QuestionKind.QA), sampling)

    async def solve(self, question: OpenQuestion, run: int, tally: TokenUsage) -> AnswerAttempt:
        """Step by step until the observer answers, gives up, or turns run out."""
        task = OpenTask("", (), question.text, 1, question.lang, AnswerStyle.SPANS, QuestionKind.QA)
        date = draw_date(question.text, run) if self._config.dated else ""
        seats = LlmSeats(self._roles, date, tally)
        return await _play(task, run, self._config.max_turns, seats, self._engine, self._k)


class ExtractiveSolver:
    """The extractive agents: every answer is a stretch of a passage that was shown."""

    def __init__(self, engine: AsyncSearchEngine, agents: Agents, config: AgentsConfig, k: int) -> None:
        self._engine = engine
        self._agents = agents
        self._config = config
        self._k = k

    def describe(self, lang: str) -> Manner:
        """No model, and templates for the thoughts alone."""
        config = self._config
        settings = {"k": self._k, "max_turns": config.max_turns, "queries_per_turn": config.queries_per_turn}
        return Manner(self._agents.model, self._agents.prompts(lang), json.dumps(settings, sort_keys=True))

    async def solve(self, question: OpenQuestion, run: int, tally: TokenUsage) -> AnswerAttempt:
        """The same for every run."""
        task = OpenTask("", (), put_gap(question.text, question.lang), 1, question.lang, AnswerStyle.SPANS)
        seats = AgentSeats(self._agents, self._config.queries_per_turn)
        return await _play(task, 0, self._config.max_turns, seats, self._engine, self._k)


async def _play(
    task: OpenTask, run: int, max_turns: int, seats: Seats, engine: AsyncSearchEngine, k: int
) -> AnswerAttempt:
    episode = Episode(task, run, max_turns)
    await play_episode(episode, seats, engine, k, lambda: [SearchRequest(query) for query in episode.queries])
    if episode.stop_reason is None:
        raise RuntimeError("an episode that is done has a reason")
    return sum_turns(episode.answers[0].answer, episode.stop_reason.value, tuple(episode.turns))
