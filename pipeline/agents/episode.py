"""Episode of planner, rewriter, search and observer, repeated until an answer.

Guarantees: the result depends on the attempt, the replies of the roles and the engine alone; a failed search is
recorded with its status and not shown to a role; when every search of a step failed the episode ends as
`search_failed`, because an observation of nothing would be false; errors of roles and engine are passed on.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.agents.roles import MIN_QUERIES, AgentRoles, NextStep, TrajectoryProgress
from pipeline.agents.solving import Rollout, TaskAttempt, search_step, show
from pipeline.search.engine import AsyncSearchEngine, FoundPassage
from schemas.trajectories import MaskAnswer, StopReason, Turn

STOPS = {NextStep.ANSWER: StopReason.ANSWERED, NextStep.GIVE_UP: StopReason.GAVE_UP}


async def run_episode(
    attempt: TaskAttempt, roles: AgentRoles, engine: AsyncSearchEngine, k: int, max_turns: int
) -> Rollout:
    """Make an attempt; a step shows at most `k` passages."""
    task = attempt.task
    turns: tuple[Turn, ...] = ()
    answers = tuple(MaskAnswer(mask=mask, answer=None, evidence=None) for mask in range(task.mask_count))
    seen: dict[str, FoundPassage] = {}
    closing, stop = "", None
    while stop is None:
        progress = TrajectoryProgress(task, attempt.number, turns, answers, tuple(seen.values()))
        plan = await roles.plan(progress)
        if plan.give_up:
            return Rollout(StopReason.GAVE_UP, turns, answers, plan.think)
        queries = await roles.rewrite(progress, plan)
        if len(set(queries)) < MIN_QUERIES or not all(map(str.strip, queries)):
            raise ValueError(f"a rewriter must return {MIN_QUERIES} different queries, got {queries}")
        calls, passages = await search_step(engine, attempt.requests(queries), k)
        if passages is None:
            return Rollout(StopReason.SEARCH_FAILED, turns, answers, closing, failed=calls)
        for passage in passages:
            seen.setdefault(passage.passage_id, passage)
        observed = await roles.observe(replace(progress, seen=tuple(seen.values())), plan)
        if [answer.mask for answer in observed.answers] != list(range(task.mask_count)):
            raise ValueError(f"an observer must return one answer per mask, got {observed.answers}")
        shown = tuple(map(show, passages))
        turns = (*turns, Turn(think=plan.think, calls=calls, shown=shown, conclusion=observed.conclusion))
        answers, closing = observed.answers, observed.closing
        stop = STOPS.get(observed.next) or (StopReason.MAX_TURNS if len(turns) >= max_turns else None)
    return Rollout(stop, turns, answers, closing)
