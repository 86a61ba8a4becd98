"""Plays one episode to its end, each step awaited: planner, rewriter, search, observer.

Promises: the episode's own order and no other; what goes wrong in a seat or the engine is passed on as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.agents.episode import Episode, State
from pipeline.agents.llm_roles import LlmRoles
from pipeline.agents.roles import Agents, Observation, Plan, Progress, Queries
from pipeline.llm.structured_output import TokenUsage
from pipeline.search.engine import AsyncSearchEngine, SearchRequest


class Seats(Protocol):
    """Planner, rewriter and observer of one episode."""

    async def plan(self, progress: Progress) -> Plan:
        """Say what to seek next."""
        ...

    async def rewrite(self, progress: Progress, plan: Plan) -> Queries:
        """Turn a plan into queries."""
        ...

    async def observe(self, progress: Progress, plan: Plan) -> Observation:
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

    async def plan(self, progress: Progress) -> Plan:
        """As the planner says. Raises UnreadableReplyError and ModelError, as do the others."""
        return await self.roles.plan(progress, self.date, self.tally)

    async def rewrite(self, progress: Progress, plan: Plan) -> Queries:
        """As the rewriter says."""
        return await self.roles.rewrite(progress, plan, self.date, self.tally)

    async def observe(self, progress: Progress, plan: Plan) -> Observation:
        """As the observer says."""
        return await self.roles.observe(progress, plan, self.date, self.tally)


@dataclass(frozen=True, slots=True)
class AgentSeats:
    """Seats taken by agents that answer at once."""

    agents: Agents
    queries: int
    """Queries for each step."""

    async def plan(self, progress: Progress) -> Plan:
        """The agents' plan."""
        return self.agents.plan([progress])[0]

    async def rewrite(self, progress: Progress, plan: Plan) -> Queries:
        """The agents' queries."""
        return self.agents.rewrite([(progress, plan)], self.queries)[0]

    async def observe(self, progress: Progress, plan: Plan) -> Observation:
        """The agents' observation."""
        return self.agents.observe([(progress, plan)])[0]


async def play_episode(
    episode: Episode, seats: Seats, engine: AsyncSearchEngine, k: int, requests: Callable[[], Sequence[SearchRequest]]
) -> None:
    """Bring an episode to its end; `requests` gives the searches that it waits for, k passages are shown a step."""
    while episode.state is not State.DONE:
        match episode.state:
            case State.PLAN:
                episode.take_plan(await seats.plan(episode.progress()))
            case State.REWRITE:
                episode.take_queries(await seats.rewrite(episode.progress(), episode.plan))
            case State.SEARCH:
                ids = episode.take_calls(await engine.search(requests(), k), k)
                if episode.stop_reason is None:
                    episode.take_passages(await engine.read(ids))
            case State.OBSERVE:
                episode.take_observation(await seats.observe(episode.progress(), episode.plan))
