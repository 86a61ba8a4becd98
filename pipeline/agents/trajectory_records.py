"""From attempts that have ended to rows: trajectories, rejects and the sums over them.

Promises: every attempt gives either a trajectory or a reject with a reason code; a task none of whose attempts passed
is itself rejected; ids follow from content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.agents.episode import Episode
from pipeline.agents.roles import open_task
from pipeline.search.engine import SearchRequest
from pipeline.stage import Outcome
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record, content_id
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, PromptUse, RoleUsage, SearchCall, StopReason, Trajectory

STAGE = "trajectories"
SEARCH_FAILED = "search_failed"
DETAIL_CHARS = 500


class Trial:
    """One attempt at a task, whoever makes it, and what of the task's source is withheld from it."""

    def __init__(self, task: MaskTask, hide: HideMode, number: int) -> None:
        self.task = task
        self.hide = hide
        self.number = number

    def write_requests(self, queries: Sequence[str]) -> list[SearchRequest]:
        """Queries as an engine is asked them."""
        task = self.task
        answers = tuple(span.text for span in task.spans)
        source = SearchRequest(
            query="",
            hide=self.hide,
            passage_id=task.passage_id,
            page_id=task.page_id,
            title=task.title,
            text=task.fill(answers),
            question=task.masked_text,
            answers=answers,
        )
        return [replace(source, query=query) for query in queries]


class AgentAttempt(Trial):
    """An attempt that agents make in an episode."""

    def __init__(self, task: MaskTask, hide: HideMode, number: int, max_turns: int) -> None:
        super().__init__(task, hide, number)
        self.episode = Episode(open_task(task), number, max_turns)

    def requests(self) -> list[SearchRequest]:
        """The searches that the episode waits for."""
        return self.write_requests(self.episode.queries)


@dataclass(frozen=True, slots=True)
class Making:
    """How a trajectory came about."""

    policy: str
    """Who attempted the task."""
    model: str
    """What played the roles."""
    prompts: tuple[PromptUse, ...]
    """The templates used."""
    sampling: str
    """Settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine."""

    def trajectory_id(self, trial: Trial) -> str:
        """The id of what an attempt made in this way gives."""
        digests = [prompt.digest for prompt in self.prompts]
        made_by = (self.policy, self.model, self.engine, digests, self.sampling)
        return content_id(trial.task.task_id, trial.hide, trial.number, *made_by)


def build_row(attempt: AgentAttempt, making: Making, usage: tuple[RoleUsage, ...]) -> Trajectory | Reject:
    """The trajectory of an episode that has ended; a reject when it could not search."""
    episode = attempt.episode
    if episode.stop_reason is None:
        raise RuntimeError("only an episode that ended is a trajectory")
    if episode.stop_reason is StopReason.SEARCH_FAILED:
        return reject_attempt(attempt, making, SEARCH_FAILED, sum_failures(episode.calls))
    return Trajectory(
        trajectory_id=making.trajectory_id(attempt),
        task_id=attempt.task.task_id,
        attempt=attempt.number,
        policy=making.policy,
        hide=attempt.hide,
        turns=tuple(episode.turns),
        answers=episode.answers,
        final_think=episode.closing,
        stop_reason=episode.stop_reason,
        usage=usage,
        prompts=making.prompts,
        sampling=making.sampling,
        engine=making.engine,
    )


def sum_failures(calls: Sequence[SearchCall]) -> str:
    """How searches failed, in a line."""
    return "; ".join(sorted({f"{call.status}: {call.detail}" for call in calls}))


def reject_attempt(trial: Trial, making: Making, reason: str, detail: str) -> Reject:
    """The row of an attempt that gives no trajectory."""
    return _reject("trajectory", making.trajectory_id(trial), reason, detail[:DETAIL_CHARS])


def conclude_task(task: MaskTask, made: Sequence[Trajectory | Reject], more: Sequence[Record] = ()) -> Outcome:
    """The outcome of a task from the rows of its attempts; `more`: what else is written of them."""
    rows: list[Record] = [*made, *more]
    reasons = [row.reason for row in made if isinstance(row, Reject)]
    lost: list[str] = []
    if len(reasons) == len(made):
        lost = (reasons or [SEARCH_FAILED])[:1]
        detail = "no attempt could search" if lost == [SEARCH_FAILED] else "no attempt came to an end"
        rows.append(_reject("task", task.task_id, lost[0], detail))
    return Outcome(task.task_id, tuple(rows), (_count("task", 1, lost), _count("trajectory", len(made), reasons)))


def _reject(unit: str, input_id: str, reason: str, detail: str) -> Reject:
    return Reject(stage=STAGE, unit=unit, input_id=input_id, reason=reason, detail=detail)


def _count(unit: str, entered: int, reasons: Sequence[str]) -> FunnelStep:
    passed = entered - len(reasons)
    return FunnelStep(stage=STAGE, unit=unit, entered=entered, passed=passed, rejected=dict(Counter(reasons)))
