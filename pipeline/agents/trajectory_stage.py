"""Trajectory stage: attempts tasks; returns a trajectory per attempt, and the tokens of those made by a policy.

Guarantees: a trajectory depends on its task, the replies, the engine and the settings, never on concurrent work; every
attempt gives either a trajectory or a reject with a reason code: all searches failed, no reply was readable, or a
request was refused; a task without a passed attempt is itself rejected; ids follow from content; a fault of the
endpoint or a spent budget ends the work and leaves the task pending.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from pipeline.agents.roles import open_task
from pipeline.agents.solving import FailedAttempt, Provenance, Rollout, Solver, TaskAttempt, run_attempt
from pipeline.llm.event_loop import gather_all
from pipeline.llm.structured_output import Price, TokenUsage
from pipeline.search.engine import SearchRequest
from pipeline.stage import Outcome
from schemas.config import StageName
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record, content_id
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, RoleUsage, SearchCall, StopReason, Trajectory

SEARCH_FAILED = "search_failed"
DETAIL_CHARS = 500
ROLES_OF_A_TURN = 3  # a plan, a rewrite and an observation


class TrajectoryStage:
    """Stage that attempts each task once for each hide mode and attempt number."""

    def __init__(self, solver: Solver, hide: Sequence[HideMode], attempts: int, price: Price | None = None) -> None:
        """`price`: cost of a call."""
        self._solver = solver
        self._hide = hide
        self._attempts = attempts
        self._price = price

    async def work(self, task: MaskTask) -> Outcome:
        """Return the outcome of one task; any number of tasks may be in progress at once."""
        made = await gather_all(
            self._attempt(task, hide, number) for hide in self._hide for number in range(self._attempts)
        )
        return conclude_task(task, [row for row, _ in made], [stream for _, stream in made if stream is not None])

    async def _attempt(
        self, task: MaskTask, hide: HideMode, number: int
    ) -> tuple[Trajectory | Reject, TokenStream | None]:
        attempt = TaskAttempt(task.task_id, open_task(task), number, partial(write_requests, task, hide))
        usage = TokenUsage()
        rollout = await run_attempt(self._solver, attempt, usage)
        made_by = self._solver.describe(attempt)
        trajectory_id = content_id(
            *(task.task_id, hide, number),
            *(made_by.policy, made_by.model, made_by.engine, made_by.digests, made_by.sampling),
        )
        if isinstance(rollout, FailedAttempt):
            return _reject("trajectory", trajectory_id, rollout.reason, rollout.detail), None
        if rollout.stop_reason is StopReason.SEARCH_FAILED:
            return _reject("trajectory", trajectory_id, SEARCH_FAILED, sum_failures(rollout.failed)), None
        row = Trajectory(
            trajectory_id=trajectory_id,
            task_id=task.task_id,
            attempt=number,
            policy=made_by.policy,
            hide=hide,
            turns=rollout.turns,
            answers=rollout.answers,
            final_think=rollout.think,
            stop_reason=rollout.stop_reason,
            usage=usage.list_usage(self._price) or (_count_steps(made_by, rollout),),
            prompts=made_by.prompts,
            sampling=made_by.sampling,
            engine=made_by.engine,
            cold_start=made_by.cold_start,
        )
        stream = rollout.stream
        return row, stream and stream.model_copy(update={"trajectory_id": trajectory_id})


def write_requests(task: MaskTask, hide: HideMode, queries: Iterable[str]) -> list[SearchRequest]:
    """Return search requests for a task, with the part of its source that the engine must hide."""
    answers = tuple(span.text for span in task.spans)
    source = SearchRequest(
        query="",
        hide=hide,
        passage_id=task.passage_id,
        page_id=task.page_id,
        title=task.page_title,
        text=task.fill(answers),
        question=task.masked_text,
        answers=answers,
    )
    return [replace(source, query=query) for query in queries]


def sum_failures(calls: Sequence[SearchCall]) -> str:
    """Describe failed searches on one line."""
    return "; ".join(sorted({f"{call.status}: {call.detail}" for call in calls}))


def conclude_task(task: MaskTask, made: Sequence[Trajectory | Reject], streams: Sequence[TokenStream] = ()) -> Outcome:
    """Return the outcome of a task from the rows of its attempts."""
    rows: list[Record] = [*made, *streams]
    reasons = [row.reason for row in made if isinstance(row, Reject)]
    lost: list[str] = []
    if len(reasons) == len(made):
        lost = (reasons or [SEARCH_FAILED])[:1]
        detail = "no attempt could search" if lost == [SEARCH_FAILED] else "no attempt came to an end"
        rows.append(_reject("task", task.task_id, lost[0], detail))
    steps = (
        FunnelStep.count(StageName.TRAJECTORIES, "task", 1 - len(lost), Counter(lost)),
        FunnelStep.count(StageName.TRAJECTORIES, "trajectory", len(made) - len(reasons), Counter(reasons)),
    )
    return Outcome(task.task_id, tuple(rows), steps)


def _count_steps(made_by: Provenance, rollout: Rollout) -> RoleUsage:
    """Return the usage of agents that call no language model."""
    calls = ROLES_OF_A_TURN * len(rollout.turns)
    return RoleUsage(
        role=made_by.policy, model=made_by.model, calls=calls, prompt_tokens=0, completion_tokens=0, cost=0.0
    )


def _reject(unit: str, input_id: str, reason: str, detail: str) -> Reject:
    return Reject(
        stage=StageName.TRAJECTORIES, unit=unit, input_id=input_id, reason=reason, detail=detail[:DETAIL_CHARS]
    )
