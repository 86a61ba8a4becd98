"""The planner/rewriter/observer loop as explicit states.

An `Episode` is one attempt at one task. It does no work: it says what it waits for, is handed that, and moves on, so
that whoever drives it may step hundreds together, or await each by itself.

    PLAN -> REWRITE -> SEARCH -> OBSERVE -> PLAN ...        DONE: answered, gave up, out of turns, search failed

Promise: a search that failed is recorded with its status and shown to nobody; when every search of a step failed the
episode ends as `search_failed`, because an observation of nothing would be a lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pipeline.agents.roles import NextStep, Observation, OpenTask, PlannedQuestion, Queries, TrajectoryProgress
from pipeline.search.engine import FoundPassage, merge_round_robin
from schemas.trajectories import MaskAnswer, SearchCall, SearchStatus, ShownPassage, StopReason, Turn

SHOWABLE = (SearchStatus.OK, SearchStatus.EMPTY)


class EpisodeState(StrEnum):
    """What an episode waits for."""

    PLAN = "plan"
    REWRITE = "rewrite"
    SEARCH = "search"
    OBSERVE = "observe"
    DONE = "done"


class Episode:
    """One attempt at one task, as far as it has come."""

    def __init__(self, task: OpenTask, attempt: int, max_turns: int) -> None:
        self.task = task
        self.attempt = attempt
        self.state = EpisodeState.PLAN
        self.turns: list[Turn] = []
        self.answers = tuple(MaskAnswer(mask=i, answer=None, evidence=None) for i in range(task.mask_count))
        self.closing = ""
        self.stop_reason: StopReason | None = None
        self.plan = PlannedQuestion("", None)
        self.queries: tuple[str, ...] = ()
        self._max_turns = max_turns
        self.calls: tuple[SearchCall, ...] = ()
        self._shown: tuple[FoundPassage, ...] = ()
        self._seen: dict[str, FoundPassage] = {}

    def progress(self) -> TrajectoryProgress:
        """The episode so far, as the roles see it."""
        return TrajectoryProgress(self.task, self.attempt, tuple(self.turns), self.answers, tuple(self._seen.values()))

    def take_plan(self, plan: PlannedQuestion) -> None:
        """PLAN -> REWRITE, or DONE when the planner gives up."""
        self._leave(EpisodeState.PLAN)
        self.plan = plan
        if plan.give_up:
            self.closing = plan.think
            self._stop(StopReason.GAVE_UP)
        else:
            self.state = EpisodeState.REWRITE

    def take_queries(self, reply: Queries) -> None:
        """REWRITE -> SEARCH."""
        self._leave(EpisodeState.REWRITE)
        self.queries = reply.queries
        self.state = EpisodeState.SEARCH

    def take_calls(self, calls: Sequence[SearchCall], k: int) -> list[str]:
        """Take how the searches ended and return the ids of the passages to show: k at most, none twice."""
        self._leave(EpisodeState.SEARCH)
        self.calls = tuple(calls)
        merged = merge_round_robin((call.hits for call in calls if call.status is SearchStatus.OK), k)
        if not any(call.status in SHOWABLE for call in calls):
            self._stop(StopReason.SEARCH_FAILED)
        return [hit.passage_id for hit in merged]

    def take_passages(self, passages: Sequence[FoundPassage]) -> None:
        """SEARCH -> OBSERVE, with the passages asked for by `take_calls`."""
        self._leave(EpisodeState.SEARCH)
        self._shown = tuple(passages)
        for passage in passages:
            self._seen.setdefault(passage.passage_id, passage)
        self.state = EpisodeState.OBSERVE

    def take_observation(self, reply: Observation) -> None:
        """OBSERVE -> PLAN, or DONE when the observer ends it or turns have run out."""
        self._leave(EpisodeState.OBSERVE)
        if [answer.mask for answer in reply.answers] != list(range(self.task.mask_count)):
            raise ValueError(f"an observer owes one answer a mask, got {reply.answers}")
        shown = tuple(ShownPassage(passage_id=p.passage_id, title=p.title, text=p.text) for p in self._shown)
        turn = Turn(think=self.plan.think, calls=self.calls, shown=shown, conclusion=reply.conclusion)
        self.turns.append(turn)
        self.answers, self.closing = reply.answers, reply.closing
        if reply.next is NextStep.ANSWER:
            self._stop(StopReason.ANSWERED)
        elif reply.next is NextStep.GIVE_UP:
            self._stop(StopReason.GAVE_UP)
        elif len(self.turns) >= self._max_turns:
            self._stop(StopReason.MAX_TURNS)
        else:
            self.state = EpisodeState.PLAN

    def _leave(self, state: EpisodeState) -> None:
        if self.state is not state:
            raise RuntimeError(f"an episode waiting for {self.state} was handed what {state} waits for")

    def _stop(self, reason: StopReason) -> None:
        self.stop_reason = reason
        self.state = EpisodeState.DONE
