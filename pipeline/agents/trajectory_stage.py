"""The stage that attempts tasks with language models: one episode an attempt, all of them at once.

Promises: a trajectory depends on its task, the replies, the engine and the settings, never on what ran beside it; an
attempt that no reply could be read for, or whose request was refused, gives a reject with that reason; a fault of the
endpoint or a spent budget ends the work and leaves the task owed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pipeline.agents.episode_runner import LlmSeats, play_episode
from pipeline.agents.llm_prompts import list_prompts
from pipeline.agents.llm_roles import ROLES, LlmRoles
from pipeline.agents.trajectory_records import AgentAttempt, Making, build_row, conclude_task, reject_attempt
from pipeline.llm.chat_model import ChatModel, RefusedRequestError
from pipeline.llm.gathering import gather_all
from pipeline.llm.roles import describe_models, name_models
from pipeline.llm.structured_output import UNREADABLE, Price, TokenUsage
from pipeline.rendering.task_text import draw_date
from pipeline.search.engine import AsyncSearchEngine
from pipeline.stage import Outcome
from prompts.replies import UnreadableReplyError
from schemas.config import AgentsConfig
from schemas.funnel import Reject
from schemas.llm_config import RoleModelConfig
from schemas.search_config import SearchConfig
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory


class LlmTrajectoryStage:
    """Attempts each task once for each hide mode and attempt number."""

    whole_shard = False

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        search: SearchConfig,
        config: AgentsConfig,
        models: Mapping[str, RoleModelConfig],
        price: Price | None = None,
    ) -> None:
        """`models`: the configuration's `llm.roles`, part of the ids; `price`: what a call costs."""
        self._engine = engine
        self._search = search
        self._config = config
        self._price = price
        self._roles = LlmRoles(model, config)
        self._models = describe_models(models, ROLES)

    async def work(self, task: MaskTask) -> Outcome:
        """The outcome of one task; any number of tasks may be under work at once."""
        config = self._config
        attempts = [
            AgentAttempt(task, hide, n, config.max_turns) for hide in self._search.hide for n in range(config.attempts)
        ]
        return conclude_task(task, await gather_all(self._attempt(attempt) for attempt in attempts))

    async def _attempt(self, attempt: AgentAttempt) -> Trajectory | Reject:
        # The same day for every hide mode: what is told apart is the search, and equal prompts are one call.
        date = draw_date(attempt.task.task_id, attempt.number) if self._config.dated else ""
        making = self._describe(attempt.task.lang, date)
        tally = TokenUsage()
        try:
            seats = LlmSeats(self._roles, date, tally)
            await play_episode(attempt.episode, seats, self._engine, self._search.k, attempt.requests)
        except UnreadableReplyError as error:
            return reject_attempt(attempt, making, UNREADABLE, str(error))
        except RefusedRequestError as error:
            return reject_attempt(attempt, making, error.reason, error.what)
        return build_row(attempt, making, tally.list_usage(self._price))

    def _describe(self, lang: str, date: str) -> Making:
        config = self._config
        settings = {
            "k": self._search.k,
            "max_turns": config.max_turns,
            "queries_per_turn": config.queries_per_turn,
            "temperature": config.temperature,
            "max_tokens": config.max_tokens,
            "parse_retries": config.parse_retries,
            "allow_memory": config.allow_memory,
            "models": self._models,
        }
        if date:
            settings["date"] = date
        names = name_models(self._models)
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        return Making(self._roles.policy, names, list_prompts(lang, config.dated), sampling, self._engine.fingerprint)
