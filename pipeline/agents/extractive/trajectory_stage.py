"""The stage that attempts tasks: hundreds of episodes stepped together, so that searches come in large batches.

Promises: a trajectory depends on its task, the agents, the engine and the settings, never on what was stepped beside
it; an attempt whose searches all failed gives a reject and no trajectory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pipeline.agents.episode import EpisodeState
from pipeline.agents.roles import Agents
from pipeline.agents.trajectory_records import AgentAttempt, Making, build_row, conclude_task
from pipeline.search.engine import SearchEngine
from pipeline.stage import Outcome
from schemas.config import AgentsConfig
from schemas.search_config import SearchConfig
from schemas.tasks import MaskTask
from schemas.trajectories import RoleUsage

TOGETHER = 128  # tasks stepped together: enough to batch searches, few enough that a killed run loses seconds


class TrajectoryStage:
    """Attempts each task once for each hide mode and attempt number."""

    whole_shard = False

    def __init__(self, engine: SearchEngine, agents: Agents, search: SearchConfig, config: AgentsConfig) -> None:
        self._engine = engine
        self._agents = agents
        self._search = search
        self._config = config
        settings = {"k": search.k, "max_turns": config.max_turns, "queries_per_turn": config.queries_per_turn}
        self._sampling = json.dumps(settings, sort_keys=True)

    def run(self, inputs: Iterable[MaskTask]) -> Iterator[Outcome]:
        """Yield one outcome a task: its trajectories, and a reject for each attempt that could not search."""
        tasks = iter(inputs)
        while batch := list(islice(tasks, TOGETHER)):
            attempts = {task.task_id: self._start(task) for task in batch}
            self._drive([attempt for some in attempts.values() for attempt in some])
            yield from (self._conclude(task, attempts[task.task_id]) for task in batch)

    def _start(self, task: MaskTask) -> list[AgentAttempt]:
        config = self._config
        return [
            AgentAttempt(task, hide, n, config.max_turns) for hide in self._search.hide for n in range(config.attempts)
        ]

    def _drive(self, attempts: Sequence[AgentAttempt]) -> None:
        while waiting := [a for a in attempts if a.episode.state is not EpisodeState.DONE]:
            episodes = [a.episode for a in waiting]
            for episode, plan in zip(episodes, self._agents.plan([e.progress() for e in episodes]), strict=True):
                episode.take_plan(plan)
            episodes = [e for e in episodes if e.state is EpisodeState.REWRITE]
            asks = [(e.progress(), e.plan) for e in episodes]
            replies = self._agents.rewrite(asks, self._config.queries_per_turn)
            for episode, queries in zip(episodes, replies, strict=True):
                episode.take_queries(queries)
            self._search_all([a for a in waiting if a.episode.state is EpisodeState.SEARCH])
            episodes = [e for e in episodes if e.state is EpisodeState.OBSERVE]
            observations = self._agents.observe([(e.progress(), e.plan) for e in episodes])
            for episode, observation in zip(episodes, observations, strict=True):
                episode.take_observation(observation)

    def _search_all(self, attempts: Sequence[AgentAttempt]) -> None:
        wanted = [attempt.requests() for attempt in attempts]
        calls = iter(self._engine.search([request for some in wanted for request in some], self._search.k))
        for attempt, requests in zip(attempts, wanted, strict=True):
            ids = attempt.episode.take_calls(list(islice(calls, len(requests))), self._search.k)
            if attempt.episode.state is EpisodeState.SEARCH:
                attempt.episode.take_passages(self._engine.read(ids))

    def _conclude(self, task: MaskTask, attempts: Sequence[AgentAttempt]) -> Outcome:
        agents = self._agents
        prompts = agents.prompts(task.lang)
        making = Making(agents.policy, agents.model, prompts, self._sampling, self._engine.fingerprint)
        return conclude_task(task, [build_row(a, making, (self._count_usage(a),)) for a in attempts])

    def _count_usage(self, attempt: AgentAttempt) -> RoleUsage:
        calls = 3 * len(attempt.episode.turns)  # a plan, a rewrite and an observation each turn
        tokens = {"prompt_tokens": 0, "completion_tokens": 0}
        return RoleUsage(role=self._agents.policy, model=self._agents.model, calls=calls, cost=0.0, **tokens)
