"""Structured output: one prompt to a language model, one typed reply, with further requests for an unreadable one.

Guarantees: a reply is read by its contract and nothing else; every call is counted, unreadable ones too; a further
request names the problem and has an attempt number of its own, so that a journal distinguishes the two. A reply that is
unreadable because it was cut at its cap is requested again with a larger cap, once. Errors of the model are passed on
as they are: faults are retried by the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pipeline.http.retrying import AsyncRetrying, retrying
from pipeline.llm.chat_model import (
    ChatModel,
    ChatReply,
    ChatRequest,
    Message,
    RefusedRequestError,
    UnsettledRefusalError,
)
from prompts.library import load_template, make_inert
from prompts.replies import Reply, ReplyContract, UnreadableReplyError
from schemas.trajectories import RoleUsage

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable_reply"
"""Reason code of what ends because no reply could be read."""
ALARM = 100
"""If so many first replies are all unreadable, the log says so."""
EMPTY = "the reply is empty, and all that was said is in its reasoning"
"""Problem where a server's parser of reasoning takes the answer along."""
TRIES = 10
"""Attempt numbers reserved for the requests of one attempt."""
ECHO = 2000
"""Characters of an unreadable reply that the next request quotes."""
WIDENING = 4
"""Factor on the cap of a reply that was cut at it."""

R = TypeVar("R", bound=Reply)
T = TypeVar("T")
Price = Callable[[str, int, int], float]
"""Model name, prompt tokens and completion tokens to a cost."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters of replies."""

    temperature: float
    """0 always takes the likeliest token."""
    max_tokens: int
    """Maximum tokens of a reply."""
    retries: int
    """Maximum further requests for an unreadable reply; below `TRIES`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Prompt of a role."""

    role: str
    """planner, rewriter, observer, extractor or judge."""
    lang: str
    """Language of the prompt."""
    text: str
    """The user message."""
    attempt: int = 0
    """Number of the attempt it belongs to."""
    system: str = ""
    """The system message; empty for none."""
    most: Mapping[str, int] = field(default_factory=dict)
    """Largest value, or length of a list, of fields of the reply. For servers that enforce schemas."""


@dataclass(slots=True)
class TokenUsage:
    """Tokens that the calls of one piece of work consumed."""

    sums: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    """Calls, prompt tokens and completion tokens by role and model."""

    def add(self, role: str, reply: ChatReply) -> None:
        """Count one call."""
        calls, sent, received = self.sums.get((role, reply.model), (0, 0, 0))
        sums = (calls + 1, sent + reply.prompt_tokens, received + reply.completion_tokens)
        self.sums[role, reply.model] = sums

    def list_usage(self, price: Price | None = None) -> tuple[RoleUsage, ...]:
        """One row for each role and model, sorted; free without `price`."""
        return tuple(
            RoleUsage(
                role=role,
                model=model,
                calls=calls,
                prompt_tokens=sent,
                completion_tokens=received,
                cost=price(model, sent, received) if price else 0.0,
            )
            for (role, model), (calls, sent, received) in sorted(self.sums.items())
        )


class StructuredOutput:
    """Requests replies of a chat model and reads them."""

    def __init__(self, model: ChatModel, sampling: Sampling) -> None:
        if not 0 <= sampling.retries < TRIES:
            raise ValueError(f"retries are from 0 to {TRIES - 1}, not {sampling.retries}")
        self._model = model
        self._sampling = sampling
        self._read = 0
        self._unreadable = 0

    async def ask(self, prompt: Prompt, contract: ReplyContract[R], check: Callable[[R], T], tally: TokenUsage) -> T:
        """The reply as `check` makes it of the fields; `check` raises ValueError for fields that are wrong.

        Raises UnreadableReplyError when no reply is readable, and any ModelError of the model.
        """
        request = self._make_request(prompt, contract)
        number = prompt.attempt * TRIES
        widened = False

        async def ask_once() -> T:
            nonlocal request, number, widened
            reply = await self._model.ask(replace(request, attempt=number))
            while True:
                tally.add(prompt.role, reply)
                try:
                    taken = check(contract.read(reply.text))
                except ValueError as error:
                    failure = _explain(error, reply)
                    self._count_unreadable(failure)
                else:
                    self._read += 1
                    return taken
                if widened or reply.finish_reason != "length":
                    break
                widened = True
                try:
                    reply = await self._model.ask(replace(request, attempt=number, widening=WIDENING))
                except (RefusedRequestError, UnsettledRefusalError) as refusal:
                    logger.info("%s: a longer reply is refused: %s", prompt.role, refusal.what)
                    break
                request = replace(request, widening=WIDENING)
            number += 1
            request = _point_out(request, prompt.lang, reply.text, failure.problem)
            raise failure

        tries = self._sampling.retries + 1
        return await retrying(AsyncRetrying, prompt.role, UnreadableReplyError, tries=tries, longest_pause=0.0)(
            ask_once
        )

    def _make_request(self, prompt: Prompt, contract: ReplyContract[R]) -> ChatRequest:
        system = (Message("system", prompt.system),) if prompt.system else ()
        return ChatRequest(
            role=prompt.role,
            messages=(*system, Message("user", prompt.text)),
            temperature=self._sampling.temperature,
            max_tokens=self._sampling.max_tokens,
            schema=contract.narrow(prompt.most),
        )

    def _count_unreadable(self, failure: UnreadableReplyError) -> None:
        self._unreadable += 1
        if self._unreadable == ALARM and not self._read:
            logger.warning("none of the first %d replies could be read; the last one: %s", ALARM, failure)


def _explain(error: ValueError, reply: ChatReply) -> UnreadableReplyError:
    problem = error.problem if isinstance(error, UnreadableReplyError) else str(error)
    if reply.reasoning and not reply.text.strip() and reply.finish_reason != "length":
        problem = EMPTY
    if reply.finish_reason == "length":
        problem += f" (cut off after {reply.completion_tokens} tokens)"
    return UnreadableReplyError(problem, reply.text)


def _point_out(request: ChatRequest, lang: str, reply: str, problem: str) -> ChatRequest:
    """The conversation with the unreadable reply and its problem."""
    quoted = Message("assistant", make_inert(reply[-ECHO:]).strip() or "...")
    correction = Message("user", load_template("ask_again", lang).fill(problem=problem))
    return replace(request, messages=(*request.messages, quoted, correction))
