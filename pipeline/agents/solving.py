"""The protocol of solvers: methods that attempt tasks and answer questions.

Promises of every `Solver`: it gets an `OpenTask` and so never a gold; one call gives one `Rollout`, however it ended;
errors of a language model are passed on, because the stage decides which of them cost the attempt and which leave it
owed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.agents.roles import OpenTask
from pipeline.llm.chat_model import RefusedRequestError
from pipeline.llm.structured_output import UNREADABLE, TokenUsage
from pipeline.search.engine import AsyncSearchEngine, FoundPassage, SearchRequest, merge_round_robin
from prompts.replies import UnreadableReplyError
from schemas.renderings import QuestionKind
from schemas.streams import TokenStream
from schemas.tasks import AnswerStyle
from schemas.trajectories import MaskAnswer, PromptUse, SearchCall, SearchStatus, ShownPassage, StopReason, Turn

SHOWABLE = (SearchStatus.OK, SearchStatus.EMPTY)

WriteRequests = Callable[[Sequence[str]], list[SearchRequest]]
"""Makes search requests of queries."""


def plain_requests(queries: Sequence[str]) -> list[SearchRequest]:
    """Requests that hide nothing."""
    return [SearchRequest(query=query) for query in queries]


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt at a task or a question."""

    key: str
    """Id of the task, or the text of the question: what is drawn for the attempt follows from it and the number."""
    task: OpenTask
    """The task without its golds."""
    number: int = 0
    """Attempts at one task are told apart by it."""
    requests: WriteRequests = plain_requests
    """Makes the search requests; those of a task say what of its source the engine must hide."""


def ask_question(text: str, lang: str, run: int = 0) -> TaskAttempt:
    """An attempt at a question."""
    return TaskAttempt(text, OpenTask("", (), text, 1, lang, AnswerStyle.SPANS, QuestionKind.QA), run)


@dataclass(frozen=True, slots=True)
class Rollout:
    """An attempt that has ended."""

    stop_reason: StopReason
    """Why it ended."""
    turns: tuple[Turn, ...]
    """Finished steps, each with its searches."""
    answers: tuple[MaskAnswer, ...]
    """One a mask; of a malformed stream, as far as they can be read."""
    think: str
    """The last thought."""
    failed: tuple[SearchCall, ...] = ()
    """The searches of the last step, if all of them failed."""
    stream: TokenStream | None = None
    """The tokens of a policy's attempt; `trajectory_id` is empty."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """An attempt that an unreadable reply or a refused request ended."""

    reason: str
    """Reason code."""
    detail: str
    """The message of the error."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What decides a rollout, besides its attempt and what the models reply."""

    policy: str
    """Name that trajectories carry."""
    model: str
    """Name of the models."""
    prompts: tuple[PromptUse, ...]
    """The templates used."""
    sampling: str
    """Settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine."""

    @property
    def digests(self) -> list[str]:
        """Digests of the templates."""
        return [prompt.digest for prompt in self.prompts]


class Solver(Protocol):
    """Attempts tasks; any number may be under way at once."""

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """The provenance of the attempt's rollout."""
        ...

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Make the attempt; `usage` counts its calls. Raises UnreadableReplyError and ModelError."""
        ...


async def run_attempt(solver: Solver, attempt: TaskAttempt, usage: TokenUsage) -> Rollout | FailedAttempt:
    """The rollout of an attempt, or the error that it ended with. Raises ModelError for what leaves it owed."""
    try:
        return await solver.solve(attempt, usage)
    except UnreadableReplyError as error:
        return FailedAttempt(UNREADABLE, str(error))
    except RefusedRequestError as error:
        return FailedAttempt(error.reason, error.what)


async def search_step(
    engine: AsyncSearchEngine, requests: Sequence[SearchRequest], k: int
) -> tuple[tuple[SearchCall, ...], list[FoundPassage] | None]:
    """The searches of one step, and the passages to show: k at most, none twice; None if every search failed."""
    calls = tuple(await engine.search(requests, k))
    if not any(call.status in SHOWABLE for call in calls):
        return calls, None
    hits = merge_round_robin((call.hits for call in calls if call.status is SearchStatus.OK), k)
    return calls, await engine.read([hit.passage_id for hit in hits])


def show(passage: FoundPassage) -> ShownPassage:
    """A passage as a turn records it."""
    return ShownPassage(passage_id=passage.passage_id, title=passage.title, text=passage.text)
