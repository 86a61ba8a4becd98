"""OpenTelemetry spans of calls to language models, by the conventions for generative AI.

Spans nest: shard, item, call. A call span covers all tries at one request, as the conventions require; a failed try is
an event in it. A reply from a journal is not a call. Prompts and replies are recorded only if configured; keys, and the
text of errors, never.

This module is imported only where tracing is on; otherwise it costs calls nothing.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar
from urllib.parse import urlsplit

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from pipeline.http.errors import HttpStatusError
from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, Message, RefusedRequestError
from pipeline.llm.endpoints import Endpoint
from pipeline.llm.roles import find_role
from pipeline.storage.shard_run import Keyed
from schemas.llm_config import LlmConfig, RoleModelConfig

Item = TypeVar("Item", bound=Keyed)
Result = TypeVar("Result")

PLACE: ContextVar[Mapping[str, str]] = ContextVar("PLACE", default={})  # noqa: B039 - nobody changes it
"""Run, stage, shard and item of the current work."""

PROVIDERS = {
    "openai.com": "openai",
    "azure.com": "azure.ai.openai",
    "anthropic.com": "anthropic",
    "deepseek.com": "deepseek",
    "mistral.ai": "mistral_ai",
    "groq.com": "groq",
    "x.ai": "x_ai",
    "perplexity.ai": "perplexity",
    "cohere.com": "cohere",
    "googleapis.com": "gcp.gemini",
}
"""`gen_ai.provider.name` by domain; any other server is named after its protocol, openai."""


class TracedTries:
    """Tries at one call."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.count = 0


TRIES: ContextVar[TracedTries | None] = ContextVar("TRIES", default=None)
"""Those of the current call."""


class CallTracing:
    """Spans of one process. `content`: record prompts and replies too."""

    def __init__(self, tracer: Tracer, content: bool) -> None:
        self._tracer = tracer
        self.content = content

    @contextmanager
    def span(self, name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> Iterator[Span]:
        """A span that is current inside the block; an error marks it by its type, without its text."""
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=dict(attributes), record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", name_error(error))
                span.set_status(StatusCode.ERROR)
                raise

    @contextmanager
    def place(self, name: str, **place: str) -> Iterator[None]:
        """A span around the work on a shard or an item, whose place is in the spans of its calls."""
        token = PLACE.set({**PLACE.get(), **{f"rampforge.{key}": value for key, value in place.items()}})
        try:
            with self.span(name, SpanKind.INTERNAL, PLACE.get()):
                yield
        finally:
            PLACE.reset(token)

    def trace_items(self, work: Callable[[Item], Awaitable[Result]]) -> Callable[[Item], Awaitable[Result]]:
        """The same work, in a span for each item."""

        async def traced(item: Item) -> Result:
            with self.place(f"{PLACE.get().get('rampforge.stage', 'stage')} item", item=item.key):
                return await work(item)

        return traced


class TracedChatModel:
    """Chat model whose calls leave a span; between journal and budget, so that its calls are theirs."""

    def __init__(self, model: ChatModel, config: LlmConfig, tracing: CallTracing) -> None:
        self._model = model
        self._config = config
        self._tracing = tracing

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        role = find_role(self._config, request.role)
        attributes = {**PLACE.get(), **describe_request(request, role)}
        with self._tracing.span(f"chat {role.model}", SpanKind.CLIENT, attributes) as span:
            if self._tracing.content:
                span.set_attribute("gen_ai.input.messages", write_messages(request.messages))
            tries = TracedTries(span)
            token = TRIES.set(tries)
            try:
                reply = await self._model.ask(request)
            finally:
                TRIES.reset(token)
                span.set_attribute("rampforge.tries", tries.count)
            span.set_attributes(describe_reply(reply))
            if self._tracing.content:
                span.set_attribute("gen_ai.output.messages", write_reply(reply))
            return reply


def note_try(endpoint: Endpoint, error: Exception | None) -> None:
    """Record the end of a try, with a reply or an error."""
    tries = TRIES.get()
    if tries is None:
        return
    tries.count += 1
    attributes = describe_server(endpoint.config.url)
    tries.span.set_attributes(attributes)
    if error is not None:
        failed = {**attributes, "error.type": name_error(error), "rampforge.try": tries.count}
        tries.span.add_event("rampforge.failed_try", failed)


def describe_request(request: ChatRequest, role: RoleModelConfig) -> dict[str, Any]:
    """Attributes of a request without its content."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",  # until the server is known
        "gen_ai.request.model": role.model,
        "gen_ai.request.temperature": request.temperature if role.temperature is None else role.temperature,
        "gen_ai.request.max_tokens": (role.max_tokens or request.max_tokens) * request.widening,
        "gen_ai.output.type": "text" if request.schema is None else "json",
        "rampforge.role": request.role,
        "rampforge.attempt": request.attempt,
    }
    if role.top_p is not None:
        attributes["gen_ai.request.top_p"] = role.top_p
    return attributes


def describe_reply(reply: ChatReply) -> dict[str, Any]:
    """Attributes of a reply without its content."""
    return {
        "gen_ai.response.finish_reasons": [reply.finish_reason],
        "gen_ai.usage.input_tokens": reply.prompt_tokens,
        "gen_ai.usage.output_tokens": reply.completion_tokens,
    }


def describe_server(url: str) -> dict[str, Any]:
    """Attributes of a server, without user and password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    provider = next((name for domain, name in PROVIDERS.items() if f".{host}".endswith(f".{domain}")), "openai")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": host, "server.port": port, "gen_ai.provider.name": provider}


def name_error(error: BaseException) -> str:
    """`error.type`: a status, a reason code, or the type of the exception."""
    if isinstance(error, HttpStatusError):
        return str(error.status)
    if isinstance(error, RefusedRequestError):
        return error.reason
    return "timeout" if isinstance(error, TimeoutError) else type(error).__name__


def write_messages(messages: tuple[Message, ...]) -> str:
    """The conversation in the form of the conventions."""
    return json.dumps([_write_message(message) for message in messages], ensure_ascii=False)


def _write_message(message: Message) -> dict[str, Any]:
    if message.speaker == "tool":
        parts = [{"type": "tool_call_response", "id": message.answers, "response": message.text}]
        return {"role": "tool", "parts": parts}
    return {"role": message.speaker, "parts": [*_write_text(message.text), *_write_calls(message.tool_calls)]}


def write_reply(reply: ChatReply) -> str:
    """The reply in the form of the conventions."""
    thought = [{"type": "reasoning", "content": reply.reasoning}] if reply.reasoning else []
    parts = [*thought, *_write_text(reply.text), *_write_calls(reply.tool_calls)]
    return json.dumps([{"role": "assistant", "parts": parts, "finish_reason": reply.finish_reason}], ensure_ascii=False)


def _write_text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "content": text}] if text else []


def _write_calls(calls: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [{"type": "tool_call", "id": c.call_id, "name": c.name, "arguments": c.arguments} for c in calls]
