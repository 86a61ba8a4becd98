"""Plays one episode to its end, each step awaited: planner, rewriter, search, observer.

Promises: the episode's own order and no other; what goes wrong in a seat or the engine is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.agents.episode import Episode, EpisodeState
from pipeline.agents.llm_roles import LlmRoles
from pipeline.agents.roles import Agents, Observation, PlannedQuestion, Queries, TrajectoryProgress
from pipeline.llm.structured_output import TokenUsage
from pipeline.search.engine import AsyncSearchEngine, SearchRequest


class Seats(Protocol):
    """Planner, rewriter and observer of one episode."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Say what to seek next."""
        ...

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """Turn a plan into queries."""
        ...

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Conclude from what was shown."""
        ...


@dataclass(frozen=True, slots=True)
class LlmSeats:
    """Seats taken by language models."""

    roles: LlmRoles
    date: str
    """The day that every conversation is told; empty for none."""
    tally: TokenUsage
    """Counts what the calls consume."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """As the planner says. Raises UnreadableReplyError and ModelError, as do the others."""
        return await self.roles.plan(progress, self.date, self.tally)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """As the rewriter says."""
        return await self.roles.rewrite(progress, plan, self.date, self.tally)

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """As the observer says."""
        return await self.roles.observe(progress, plan, self.date, self.tally)


@dataclass(frozen=True, slots=True)
class AgentSeats:
    """Seats taken by agents that answer at once."""

    agents: Agents
    queries: int
    """Queries for each step."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """The agents' plan."""
        return self.agents.plan([progress])[0]

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """The agents' queries."""
        return self.agents.rewrite([(progress, plan)], self.queries)[0]

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """The agents' observation."""
        return self.agents.observe([(progress, plan)])[0]


async def play_episode(
    episode: Episode, seats: Seats, engine: AsyncSearchEngine, k: int, requests: Callable[[], Sequence[SearchRequest]]
) -> None:
    """Bring an episode to its end; `requests` gives the searches that it waits for, k passages are shown a step."""
    while episode.state is not EpisodeState.DONE:
        match episode.state:
            case EpisodeState.PLAN:
                episode.take_plan(await seats.plan(episode.progress()))
            case EpisodeState.REWRITE:
                episode.take_queries(await seats.rewrite(episode.progress(), episode.plan))
            case EpisodeState.SEARCH:
                ids = episode.take_calls(await engine.search(requests(), k), k)
                if episode.stop_reason is None:
                    episode.take_passages(await engine.read(ids))
            case EpisodeState.OBSERVE:
                episode.take_observation(await seats.observe(episode.progress(), episode.plan))
