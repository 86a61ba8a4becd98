"""What a language model owes to whoever asks it.

Promises of every `ChatModel`: one request gives one reply or one `ModelError`; faults that may pass are retried inside,
in one place, so a caller never retries; a reply is handed over only after it is safe on disk where a journal is in use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from pipeline.errors import RampforgeError
from schemas.live import EndpointLive

Speaker = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model asks for."""

    call_id: str
    """The server's name for this call; the message that answers it repeats it."""
    name: str
    arguments: str
    """JSON as the model wrote it: it may be broken."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    speaker: Speaker
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """What the assistant asked for, in a message of its own."""
    answers: str = ""
    """`call_id` of the call that a message of the tool answers."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Everything that decides a reply. Its content is its identity: equal requests have equal keys."""

    role: str
    """Who asks: planner, rewriter, observer, extractor, judge. Picks the model; part of the usage sums."""
    messages: tuple[Message, ...]
    """The conversation so far."""
    attempt: int = 0
    """Told apart so that a second attempt at the same task is a second call, not a copy of the first."""
    temperature: float = 0.0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    """Stop strings; the reply ends before the first of them."""
    top_p: float | None = None
    """Nucleus sampling; None leaves it to the server."""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """JSON schema that the reply must follow, where the server can enforce one."""
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Functions the model may call, each `{"name", "description", "parameters"}`."""
    prompt_ids: tuple[int, ...] = ()
    """Instead of messages: the tokens that the model goes on from. The reply then holds the tokens that it wrote, the
    stop string and the end of the sequence included."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back."""

    text: str
    """The answer proper."""
    reasoning: str
    """What a reasoning model thought before it; empty for the others."""
    finish_reason: str
    """`stop`, `length`, `content_filter`, ..., as the server says."""
    model: str
    """Name of the model, as it was asked for."""
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()
    """The tools asked for, where the request named any."""
    token_ids: tuple[int, ...] = ()
    """What the model wrote, where the request is made of tokens."""
    endpoint: str = ""
    """Name of the endpoint that answered, as it was called then."""


class ChatModel(Protocol):
    """Answers requests."""

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        ...


class Service(Protocol):
    """A client, a journal or an engine that asynchronous work uses: closed in the event loop that used it."""

    async def close(self) -> None:
        """Give up connections and files; the next request opens new ones."""
        ...


@runtime_checkable
class ModelClient(ChatModel, Service, Protocol):
    """A chat model with connections to endpoints, used inside one event loop at a time."""

    def stop(self) -> None:
        """Send nothing more: requests that wait are refused, those in flight go on."""
        ...

    def load(self) -> tuple[EndpointLive, ...]:
        """The state of its endpoints; callable from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A chat model that is ready for use."""

    model: ChatModel
    """Answers requests."""
    services: tuple[Service, ...]
    """To be closed when it is no longer used."""

    async def close(self) -> None:
        """Close the services."""
        for service in self.services:
            await service.close()


class ModelError(RampforgeError):
    """A request that no reply can be had for."""


class RefusedRequestError(ModelError):
    """The server will never answer this request: too long, or not allowed. Costs its item a named reject."""

    def __init__(self, reason: str, what: str, reply: ChatReply | None = None, endpoint: str = "") -> None:
        super().__init__(what)
        self.reason = reason
        """Reason code of the reject, such as `context_overflow`."""
        self.reply = reply
        """What was answered, and paid for, where the refusal is in a reply."""
        self.endpoint = endpoint
        """Name of the endpoint that refused."""

    def __reduce__(self) -> tuple[type[RampforgeError], tuple[Any, ...]]:
        return type(self), (self.reason, self.what, self.reply, self.endpoint)


class NoReplyError(ModelError):
    """Every try at this request came to nothing, while others are answered. Leaves its item owed; the rest goes on."""


class UnsettledRefusalError(ModelError):
    """A request was refused, and none of its kind is answered yet: the item may be to blame, or the configuration.

    Leaves its item owed until that is known.
    """


class EndpointError(ModelError):
    """The endpoint cannot be used at all: wrong key, unknown model, down for good. Stops the run."""


class RefusedParameterError(EndpointError):
    """The server does not take a parameter that every request of the role has."""


class AllRefusedError(EndpointError):
    """Requests were refused, and not one of their kind was ever answered. Stops the shard; nothing is recorded."""


class UnreadBodyError(ModelError):
    """A reply came, and reading it failed in a way that nobody foresaw. Stops the run; the reply is kept."""

    def __init__(self, what: str, fix: str = "", body: bytes = b"") -> None:
        super().__init__(what, fix)
        self.body = body
        """The reply as it came."""


class BudgetSpentError(ModelError):
    """A cap on tokens, money or time is reached. Stops the run cleanly; it can be resumed with a higher cap."""
