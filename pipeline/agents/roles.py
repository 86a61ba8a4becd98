"""The three roles of the agents, their inputs and their replies (MaskSearch, arXiv 2505.20285, section 2.2).

The planner turns a task into one sub-question at a time, the rewriter turns that into search queries, the observer
reads what came back and draws a conclusion. Rules and language models play them on the same types.

Promise: no role ever sees a gold span. `OpenTask` is the only form in which a task reaches a role, and it has no field
that could hold one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.search.engine import FoundPassage
from schemas.renderings import QuestionKind
from schemas.tasks import AnswerStyle, MaskTask
from schemas.trajectories import MaskAnswer, Turn

MIN_QUERIES = 3


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What a solver may know of a task."""

    title: str
    """Title of the page the passage is from."""
    section: tuple[str, ...]
    """Headings above the passage."""
    masked_text: str
    """The passage with `MASK` where spans were."""
    mask_count: int
    """How many masks there are."""
    lang: str
    """Language code."""
    answer_style: AnswerStyle
    """What the solver is asked to write."""
    kind: QuestionKind = QuestionKind.RAMP
    """Masks to fill, or a question to answer: then `masked_text` is the question, and its answer counts as mask 0."""


def open_task(task: MaskTask) -> OpenTask:
    """Leave out of a task whatever could tell the gold, its ids (hashes of offsets) included."""
    return OpenTask(task.title, task.section, task.masked_text, task.mask_count, task.lang, task.answer_style)


@dataclass(frozen=True, slots=True)
class TrajectoryProgress:
    """A trajectory so far, as the roles see it."""

    task: OpenTask
    """The task."""
    attempt: int
    """Which attempt this is; agents may vary their ways with it."""
    turns: tuple[Turn, ...] = ()
    """Finished steps."""
    answers: tuple[MaskAnswer, ...] = ()
    """The latest answers, one a mask; empty before the first observation."""
    seen: tuple[FoundPassage, ...] = ()
    """Every passage shown so far, the current step's included, in order of first showing."""


@dataclass(frozen=True, slots=True)
class PlannedQuestion:
    """The planner's reply."""

    think: str
    """What is sought in this step and why."""
    mask: int | None
    """The mask that the step is about; None for all of them."""
    give_up: bool = False
    """There is nothing left to try."""


@dataclass(frozen=True, slots=True)
class Queries:
    """The rewriter's reply: at least three different queries, none blank."""

    queries: tuple[str, ...]
    """What to search for."""

    def __post_init__(self) -> None:
        if len(set(self.queries)) < MIN_QUERIES or not all(query.strip() for query in self.queries):
            raise ValueError(f"a rewriter owes {MIN_QUERIES} different queries, got {self.queries}")


class NextStep(StrEnum):
    """What the observer wants to happen now."""

    ANSWER = "answer"
    SEARCH_ON = "search_on"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Observation:
    """The observer's reply."""

    conclusion: str
    """What the results show."""
    next: NextStep
    """Whether the trajectory ends here."""
    answers: tuple[MaskAnswer, ...]
    """The best answers known by now, one a mask."""
    closing: str
    """The closing thought, should the trajectory end here."""


class AgentRoles(Protocol):
    """Planner, rewriter and observer; a reply depends on its arguments alone."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Say what to seek next."""
        ...

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Queries:
        """Turn a plan into queries."""
        ...

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Conclude from what was shown."""
        ...
