"""The stage that attempts tasks: hundreds of episodes stepped together, so that searches come in large batches.

Promises: a trajectory depends on its task, the agents, the engine and the settings, never on what was stepped beside
it; an attempt whose searches all failed gives a reject and no trajectory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from pipeline.agents.roles import Agents, open_task
from pipeline.agents.trajectory_loop import Episode, State
from pipeline.search.engine import SearchEngine, SearchRequest
from pipeline.stage import Outcome
from schemas.config import AgentsConfig, SearchConfig
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record, content_id
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, RoleUsage, StopReason, Trajectory

STAGE = "trajectories"
TOGETHER = 128  # tasks stepped together: enough to batch searches, few enough that a killed run loses seconds


class Attempt:
    """An episode, and what of its task's source is withheld from it."""

    def __init__(self, task: MaskTask, hide: HideMode, number: int, max_turns: int) -> None:
        self.task = task
        self.hide = hide
        self.number = number
        self.episode = Episode(open_task(task), number, max_turns)

    def requests(self) -> list[SearchRequest]:
        """The searches that the episode waits for."""
        task = self.task
        return [SearchRequest(query, self.hide, task.passage_id, task.page_id) for query in self.episode.queries]


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

    def _start(self, task: MaskTask) -> list[Attempt]:
        config = self._config
        return [Attempt(task, hide, n, config.max_turns) for hide in self._search.hide for n in range(config.attempts)]

    def _drive(self, attempts: Sequence[Attempt]) -> None:
        while waiting := [a for a in attempts if a.episode.state is not State.DONE]:
            episodes = [a.episode for a in waiting]
            for episode, plan in zip(episodes, self._agents.plan([e.progress() for e in episodes]), strict=True):
                episode.take_plan(plan)
            episodes = [e for e in episodes if e.state is State.REWRITE]
            asks = [(e.progress(), e.plan) for e in episodes]
            replies = self._agents.rewrite(asks, self._config.queries_per_turn)
            for episode, queries in zip(episodes, replies, strict=True):
                episode.take_queries(queries)
            self._search_all([a for a in waiting if a.episode.state is State.SEARCH])
            episodes = [e for e in episodes if e.state is State.OBSERVE]
            observations = self._agents.observe([(e.progress(), e.plan) for e in episodes])
            for episode, observation in zip(episodes, observations, strict=True):
                episode.take_observation(observation)

    def _search_all(self, attempts: Sequence[Attempt]) -> None:
        wanted = [attempt.requests() for attempt in attempts]
        calls = iter(self._engine.search([request for some in wanted for request in some], self._search.k))
        for attempt, requests in zip(attempts, wanted, strict=True):
            ids = attempt.episode.take_calls(list(islice(calls, len(requests))), self._search.k)
            if attempt.episode.state is State.SEARCH:
                attempt.episode.take_passages(self._engine.read(ids))

    def _conclude(self, task: MaskTask, attempts: Sequence[Attempt]) -> Outcome:
        rows: list[Record] = []
        for attempt in attempts:
            if attempt.episode.stop_reason is StopReason.SEARCH_FAILED:
                rows.append(_reject("trajectory", self._trajectory_id(attempt), _describe_failure(attempt)))
            else:
                rows.append(self._record(attempt))
        passed = sum(isinstance(row, Trajectory) for row in rows)
        if not passed:
            rows.append(_reject("task", task.task_id, "no attempt could search"))
        funnel = (_count("task", 1, min(passed, 1)), _count("trajectory", len(attempts), passed))
        return Outcome(task.task_id, tuple(rows), funnel)

    def _trajectory_id(self, attempt: Attempt) -> str:
        agents, task = self._agents, attempt.task
        digests = [prompt.digest for prompt in agents.prompts(task.lang)]
        made_by = (agents.policy, agents.model, self._engine.fingerprint, digests, self._sampling)
        return content_id(task.task_id, attempt.hide, attempt.number, *made_by)

    def _record(self, attempt: Attempt) -> Trajectory:
        agents, episode = self._agents, attempt.episode
        if episode.stop_reason is None:
            raise RuntimeError("only an episode that ended is a trajectory")
        calls = 3 * len(episode.turns)  # a plan, a rewrite and an observation each turn
        tokens = {"prompt_tokens": 0, "completion_tokens": 0}
        usage = RoleUsage(role=agents.policy, model=agents.model, calls=calls, cost=0.0, **tokens)
        return Trajectory(
            trajectory_id=self._trajectory_id(attempt),
            task_id=attempt.task.task_id,
            attempt=attempt.number,
            policy=agents.policy,
            hide=attempt.hide,
            turns=tuple(episode.turns),
            answers=episode.answers,
            final_think=episode.closing,
            stop_reason=episode.stop_reason,
            usage=(usage,),
            prompts=agents.prompts(attempt.task.lang),
            sampling=self._sampling,
            engine=self._engine.fingerprint,
        )


def _describe_failure(attempt: Attempt) -> str:
    return "; ".join(sorted({f"{call.status}: {call.detail}" for call in attempt.episode.calls}))[:500]


def _reject(unit: str, input_id: str, detail: str) -> Reject:
    return Reject(stage=STAGE, unit=unit, input_id=input_id, reason="search_failed", detail=detail)


def _count(unit: str, entered: int, passed: int) -> FunnelStep:
    rejected = {"search_failed": entered - passed} if entered > passed else {}
    return FunnelStep(stage=STAGE, unit=unit, entered=entered, passed=passed, rejected=rejected)
