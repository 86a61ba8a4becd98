"""Interface of chat models: requests, replies and errors.

Guarantees of every `ChatModel`: one request gives one reply or one `ModelError`; transient faults are retried inside,
in one place, so a caller never retries; with a journal, a reply is returned only after it is written to disk.
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
    """Tool call of a model."""

    call_id: str
    """Id given by the server; the message with the result repeats it."""
    name: str
    arguments: str
    """JSON as the model wrote it, which may be invalid."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    speaker: Speaker
    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    """Tool calls of the assistant, in a message of its own."""
    answers: str = ""
    """`call_id` of the call whose result a message of the tool is."""


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Everything that decides a reply. Its content is its identity: equal requests have equal keys."""

    role: str
    """planner, rewriter, observer, extractor or judge: selects the model, and groups the usage."""
    messages: tuple[Message, ...]
    """The conversation so far."""
    attempt: int = 0
    """Number of the attempt, which makes a second attempt at the same task a second call."""
    temperature: float = 0.0
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    """Stop strings; the reply ends before the first of them."""
    top_p: float | None = None
    """Nucleus sampling; None for the default of the server."""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """JSON schema of the reply, for servers that enforce one."""
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    """Functions the model may call, each `{"name", "description", "parameters"}`."""
    widening: int = 1
    """Factor on the cap of the reply, `max_tokens` here or in the role, for a reply that was cut at it."""
    prompt_ids: tuple[int, ...] = ()
    """Instead of messages: the tokens that the model continues. The reply then holds the tokens that it wrote, the stop
    string and the end of the sequence included."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    """Reply of a model."""

    text: str
    """The answer proper."""
    reasoning: str
    """Reasoning before it; empty for models without."""
    finish_reason: str
    """`stop`, `length`, `content_filter`, `tool_calls`, or what else the server gives."""
    model: str
    """Name of the model, as requested."""
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[ToolCall, ...] = ()
    """Tool calls, where the request has tools."""
    token_ids: tuple[int, ...] = ()
    """Tokens that the model wrote, for a request of tokens."""
    endpoint: str = ""
    """Name of the endpoint that answered, as configured then."""


class ChatModel(Protocol):
    """Model that answers requests."""

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        ...


class Service(Protocol):
    """Client, journal or engine that asynchronous work uses: closed in the event loop that used it."""

    async def close(self) -> None:
        """Close connections and files; the next request opens new ones."""
        ...


@runtime_checkable
class ModelClient(ChatModel, Service, Protocol):
    """Chat model with connections to endpoints, used in one event loop at a time."""

    def stop(self) -> None:
        """Refuse waiting and further requests; those in flight continue."""
        ...

    def load(self) -> tuple[EndpointLive, ...]:
        """The state of its endpoints; callable from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """Chat model that is ready for use, and its services."""

    model: ChatModel
    """The model."""
    services: tuple[Service, ...]
    """Closed after use."""

    async def close(self) -> None:
        """Close the services."""
        for service in self.services:
            await service.close()


class ModelError(RampforgeError):
    """A request has no reply."""


class RefusedRequestError(ModelError):
    """The server refuses this request permanently: too long, or not allowed. The item becomes a named reject."""

    def __init__(self, reason: str, what: str, reply: ChatReply | None = None, endpoint: str = "") -> None:
        super().__init__(what)
        self.reason = reason
        """Reason code of the reject, such as `context_overflow`."""
        self.reply = reply
        """The reply that is the refusal, which was paid for."""
        self.endpoint = endpoint
        """Name of the endpoint that refused."""

    def __reduce__(self) -> tuple[type[RampforgeError], tuple[Any, ...]]:
        return type(self), (self.reason, self.what, self.reply, self.endpoint)


class NoReplyError(ModelError):
    """Every try at this request failed, while others are answered. The item stays unfinished; the others continue."""


class UnsettledRefusalError(ModelError):
    """A request was refused, and none of its kind is answered yet: the cause may be the item or the configuration.

    The item stays unfinished until that is known.
    """


class EndpointError(ModelError):
    """The endpoint is unusable: wrong key, unknown model, permanently down. Stops the run."""


class RefusedParameterError(EndpointError):
    """The server does not take a parameter that every request of the role has."""


class AllRefusedError(EndpointError):
    """Requests were refused, and none of their kind was answered. Stops the shard; nothing is recorded."""


class UnreadBodyError(ModelError):
    """The parser failed on a reply with an unexpected error. Stops the run; the reply is recorded."""

    def __init__(self, what: str, fix: str = "", body: bytes = b"") -> None:
        super().__init__(what, fix)
        self.body = body
        """The reply as received."""


class BudgetSpentError(ModelError):
    """A cap on tokens, money or time is reached. Stops the run cleanly; it resumes with a higher cap."""
