"""What a method of answering owes to an evaluation.

Promises of every `Solver`: it is told the question and never a gold; one call gives one `AnswerAttempt`, however it
ended; errors of a language model are passed on, for the stage decides which of them cost the answer and which leave
it owed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pipeline.llm.structured_output import TokenUsage
from pipeline.search.engine import AsyncSearchEngine, SearchRequest
from schemas.trajectories import PromptUse, SearchCall, StopReason, Turn

ANSWERED = StopReason.ANSWERED.value
GAVE_UP = StopReason.GAVE_UP.value
SEARCH_FAILED = StopReason.SEARCH_FAILED.value


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """What a solver may know of a question."""

    lang: str
    """Language code."""
    text: str
    """The question."""


@dataclass(frozen=True, slots=True)
class AnswerAttempt:
    """How one answer came about."""

    answer: str | None
    """The answer; None for none."""
    stop: str
    """`answered`, or what kept it from an answer."""
    turns: int = 0
    """Steps taken."""
    searches: int = 0
    """Queries sent."""
    shown: tuple[str, ...] = ()
    """Passages shown, each once, in order."""

    @property
    def finished(self) -> bool:
        """It came to an answer by itself: one that ran out of turns has none, whatever it believed by then."""
        return self.stop == ANSWERED and bool(self.answer and self.answer.strip())


@dataclass(frozen=True, slots=True)
class Manner:
    """How a solver works: with the question and the run's number all that decides an attempt."""

    model: str
    """What plays the roles."""
    prompts: tuple[PromptUse, ...]
    """The templates used."""
    sampling: str
    """Settings, a JSON object as text."""


class Solver(Protocol):
    """Answers questions; any number may be under way at once."""

    def describe(self, lang: str) -> Manner:
        """How it works for questions in a language."""
        ...

    async def solve(self, question: OpenQuestion, run: int, tally: TokenUsage) -> AnswerAttempt:
        """Answer a question for the run of that number. Raises UnreadableReplyError and ModelError."""
        ...


def sum_turns(answer: str | None, stop: str, turns: tuple[Turn, ...]) -> AnswerAttempt:
    """The attempt that ended so after these turns."""
    calls = sum(len(turn.calls) for turn in turns)
    shown = dict.fromkeys(passage.passage_id for turn in turns for passage in turn.shown)
    return AnswerAttempt(answer, stop, len(turns), calls, tuple(shown))


async def search_once(engine: AsyncSearchEngine, query: str, k: int) -> SearchCall:
    """One query, nothing withheld."""
    (call,) = await engine.search([SearchRequest(" ".join(query.split()))], k)
    return call
