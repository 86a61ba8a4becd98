"""One prompt to a language model, one typed reply back: asked again a few times when it cannot be read.

Promises: a reply is read by its contract and nothing else; every call is counted, unreadable ones too; a second try
is told what was wrong and has an attempt number of its own, so that a journal tells the two apart. Errors of the model
are passed on as they are: retrying a fault is the model's work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pipeline.http.retrying import AsyncRetrying, retrying
from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, Message
from prompts.library import load_template, make_inert
from prompts.replies import Reply, ReplyContract, UnreadableReplyError
from schemas.trajectories import RoleUsage

logger = logging.getLogger(__name__)

UNREADABLE = "unreadable_reply"
"""Reason code of what ends because no reply could be read."""
ALARM = 100
"""If so many first replies are all unreadable, the log says so."""
EMPTY = "the reply is empty, and all that was said is in its reasoning"
"""What is wrong where a server's parser of reasoning takes the answer along."""
TRIES = 10
"""Attempt numbers set aside for the tries of one attempt."""
ECHO = 2000
"""Characters of an unreadable reply that are put before the model again."""

R = TypeVar("R", bound=Reply)
T = TypeVar("T")
Price = Callable[[str, int, int], float]
"""Model name, prompt tokens and completion tokens to a cost."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn."""

    temperature: float
    """0 takes the likeliest token always."""
    max_tokens: int
    """Longest reply."""
    retries: int
    """Times an unreadable reply is asked for again; below `TRIES`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is put to a role."""

    role: str
    """planner, rewriter, observer, extractor or judge."""
    lang: str
    """Language of the prompt."""
    text: str
    """The user message."""
    attempt: int = 0
    """Which attempt it belongs to."""
    system: str = ""
    """The system message; empty for none."""
    most: Mapping[str, int] = field(default_factory=dict)
    """What the task leaves to fields of the reply: largest value, or length of a list. For servers that enforce it."""


@dataclass(slots=True)
class TokenUsage:
    """What the calls of one piece of work consumed."""

    sums: dict[tuple[str, str], tuple[int, int, int]] = field(default_factory=dict)
    """Calls, prompt tokens and completion tokens by role and model."""

    def add(self, role: str, reply: ChatReply) -> None:
        """Count one call."""
        calls, sent, received = self.sums.get((role, reply.model), (0, 0, 0))
        sums = (calls + 1, sent + reply.prompt_tokens, received + reply.completion_tokens)
        self.sums[role, reply.model] = sums

    def list_usage(self, price: Price | None = None) -> tuple[RoleUsage, ...]:
        """One row a role and model, sorted; free when there is no price."""
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
    """Asks a chat model and reads its replies."""

    def __init__(self, model: ChatModel, sampling: Sampling) -> None:
        if not 0 <= sampling.retries < TRIES:
            raise ValueError(f"retries are from 0 to {TRIES - 1}, not {sampling.retries}")
        self._model = model
        self._sampling = sampling
        self._read = 0
        self._unreadable = 0

    async def ask(self, prompt: Prompt, contract: ReplyContract[R], check: Callable[[R], T], tally: TokenUsage) -> T:
        """The reply as `check` makes it of the fields; `check` raises ValueError for one that it cannot take.

        Raises UnreadableReplyError when no try could be read, and whatever ModelError the model raises.
        """
        request = self._make_request(prompt, contract)
        number = prompt.attempt * TRIES

        async def ask_once() -> T:
            nonlocal request, number
            reply = await self._model.ask(replace(request, attempt=number))
            number += 1
            tally.add(prompt.role, reply)
            try:
                taken = check(contract.read(reply.text))
            except ValueError as error:
                failure = _explain(error, reply)
                self._count_unreadable(failure)
                request = _point_out(request, prompt.lang, reply.text, failure.problem)
                raise failure from None
            self._read += 1
            return taken

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
    """The conversation with the reply that could not be read, and what was wrong with it."""
    said = Message("assistant", make_inert(reply[-ECHO:]).strip() or "...")
    again = Message("user", load_template("ask_again", lang).fill(problem=problem))
    return replace(request, messages=(*request.messages, said, again))
