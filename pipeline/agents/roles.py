"""Planner, rewriter and observer: their inputs and their replies (MaskSearch, arXiv 2505.20285, section 2.2).

The planner turns a task into one sub-question at a time, the rewriter turns that into search queries, the observer
draws a conclusion from the results. Rules and language models implement the roles on the same types.

Guarantee: no role receives a gold span. `OpenTask` is the only form in which a task reaches a role, and it has no field
for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.search.engine import FoundPassage
from schemas.renderings import QuestionKind
from schemas.tasks import GAP, REPEAT, AnswerStyle, MaskTask
from schemas.trajectories import MaskAnswer, Turn

MIN_QUERIES = 3


@dataclass(frozen=True, slots=True)
class OpenTask:
    """Part of a task that a solver receives."""

    title: str
    """Title of the page that the passage is from."""
    section: tuple[str, ...]
    """Headings above the passage."""
    masked_text: str
    """The passage with `MASK` in place of its hidden spans."""
    mask_count: int
    lang: str
    answer_style: AnswerStyle
    kind: QuestionKind = QuestionKind.RAMP
    """Masks to fill, or a question to answer: then `masked_text` is the question, and its answer is that to mask 0."""

    @property
    def asked(self) -> str:
        """Return the passage with its masks, or the question."""
        return self.masked_text

    @property
    def repeats(self) -> bool:
        """Return whether mentions of answers are hidden too."""
        return any(map(REPEAT.search, (self.title, *self.section, self.masked_text)))

    @property
    def texts(self) -> tuple[str, ...]:
        """Return all that is shown, cut at placeholders: title, headings, and the pieces of the passage."""
        return tuple(piece for text in (self.title, *self.section, self.masked_text) for piece in GAP.split(text))


def read_plainly(text: str) -> str:
    """Return a text with an ellipsis for each placeholder of a mention."""
    return REPEAT.sub("…", text)


def open_task(task: MaskTask) -> OpenTask:
    """Return a task without anything that reveals the gold, its ids (hashes of offsets) included."""
    return OpenTask(task.title, task.section, task.asked, task.mask_count, task.lang, task.answer_style, task.kind)


@dataclass(frozen=True, slots=True)
class TrajectoryProgress:
    """Trajectory so far, as the roles receive it."""

    task: OpenTask
    attempt: int
    """Number of the attempt; replies may vary with it."""
    turns: tuple[Turn, ...] = ()
    """Finished steps."""
    answers: tuple[MaskAnswer, ...] = ()
    """Latest answers, one per mask; empty before the first observation."""
    seen: tuple[FoundPassage, ...] = ()
    """Every passage shown so far, those of the current step included, in order of first appearance."""


@dataclass(frozen=True, slots=True)
class PlannedQuestion:
    """Reply of the planner."""

    think: str
    """What the step searches for, and why."""
    mask: int | None
    """Mask that the step is about; None for all of them."""
    give_up: bool = False
    """Whether there is nothing left to try."""


class NextStep(StrEnum):
    """Decision of the observer."""

    ANSWER = "answer"
    SEARCH_ON = "search_on"
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True)
class Observation:
    """Reply of the observer."""

    conclusion: str
    """Conclusion from the results."""
    next: NextStep
    answers: tuple[MaskAnswer, ...]
    """Best answers so far, one per mask."""
    closing: str
    """Closing thought, in case the trajectory ends here."""


class AgentRoles(Protocol):
    """Planner, rewriter and observer; a reply depends on the arguments alone."""

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Choose what to search for next."""
        ...

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> tuple[str, ...]:
        """Turn a plan into queries: at least `MIN_QUERIES` different ones, none blank."""
        ...

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Draw a conclusion from the passages shown."""
        ...
