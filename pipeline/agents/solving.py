"""Protocol of solvers: methods that attempt tasks and answer questions.

Guarantees of every `Solver`: it receives an `OpenTask`, never a gold; one call returns one `Rollout`, however it ended;
errors of a language model are passed on, because the stage decides which of them reject the attempt and which leave it
pending.
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
"""Function from queries to search requests."""


def plain_requests(queries: Sequence[str]) -> list[SearchRequest]:
    """Return requests that hide nothing."""
    return [SearchRequest(query=query) for query in queries]


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """Attempt at a task or a question."""

    key: str
    """Id of the task, or text of the question: the seed, with the number, of every random choice of the attempt."""
    task: OpenTask
    number: int = 0
    """Number among the attempts at the task."""
    requests: WriteRequests = plain_requests
    """Makes the search requests; those of a task name the part of its source that the engine must hide."""


def ask_question(text: str, lang: str, run: int = 0) -> TaskAttempt:
    """Return an attempt at a question."""
    return TaskAttempt(text, OpenTask("", (), text, 1, lang, AnswerStyle.SPANS, QuestionKind.QA), run)


@dataclass(frozen=True, slots=True)
class Rollout:
    """Finished attempt."""

    stop_reason: StopReason
    turns: tuple[Turn, ...]
    """Finished steps, each with its searches."""
    answers: tuple[MaskAnswer, ...]
    """One per mask; of a malformed stream, those that can be read."""
    think: str
    """Last thought."""
    failed: tuple[SearchCall, ...] = ()
    """Searches of the last step, if all of them failed."""
    stream: TokenStream | None = None
    """Tokens of a policy's attempt; `trajectory_id` is empty."""


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """Attempt that an unreadable reply or a refused request ended."""

    reason: str
    """Reason code."""
    detail: str
    """Message of the error."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Inputs of a rollout besides its attempt and the replies of the models."""

    policy: str
    """Name of the solver, as in `Trajectory.policy`."""
    model: str
    """Names of the models."""
    prompts: tuple[PromptUse, ...]
    sampling: str
    """Settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine."""
    cold_start: bool = False
    """Whether the thoughts are filled templates."""

    @property
    def digests(self) -> list[str]:
        """Return the digests of the templates."""
        return [prompt.digest for prompt in self.prompts]


class Solver(Protocol):
    """Solver of tasks; any number of attempts may be in progress at once."""

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """Return the provenance of the attempt's rollout."""
        ...

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Make the attempt; `usage` counts its calls. Raises UnreadableReplyError and ModelError."""
        ...


async def run_attempt(solver: Solver, attempt: TaskAttempt, usage: TokenUsage) -> Rollout | FailedAttempt:
    """Return the rollout of an attempt, or the error that rejects it. Raises ModelError if it stays pending."""
    try:
        return await solver.solve(attempt, usage)
    except UnreadableReplyError as error:
        return FailedAttempt(UNREADABLE, str(error))
    except RefusedRequestError as error:
        return FailedAttempt(error.reason, error.what)


async def search_step(
    engine: AsyncSearchEngine, requests: Sequence[SearchRequest], k: int
) -> tuple[tuple[SearchCall, ...], list[FoundPassage] | None]:
    """Return the searches of one step and the passages to show: at most k, no duplicates; None if every search
    failed.
    """
    calls = tuple(await engine.search(requests, k))
    if not any(call.status in SHOWABLE for call in calls):
        return calls, None
    hits = merge_round_robin((call.hits for call in calls if call.status is SearchStatus.OK), k)
    return calls, await engine.read([hit.passage_id for hit in hits])


def show(passage: FoundPassage) -> ShownPassage:
    """Return a passage as recorded in a turn."""
    return ShownPassage(passage_id=passage.passage_id, title=passage.title, text=passage.text)
