"""Chat models behind servers that speak the OpenAI protocol.

Promises: a fault that may pass costs a pause, not a request; a hung request is abandoned and repeated; the first sign
that an endpoint can never be used (wrong key, unknown model) stops everything at once; a server is not asked for more
than it can take. Used inside one event loop at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import ConfigError
from pipeline.http.errors import HttpStatusError, ThrottledError
from pipeline.http.retrying import AsyncRetrying, retrying
from pipeline.llm.chat_model import (
    ChatReply,
    ChatRequest,
    EndpointError,
    ModelError,
    NoReplyError,
    RefusedRequestError,
    UnreadBodyError,
)
from pipeline.llm.chat_protocol import MalformedReplyError, encode_body, make_body, read_reply
from pipeline.llm.completions_protocol import NoTokensError, make_completion_body, read_completion_reply
from pipeline.llm.endpoints import Endpoint
from pipeline.llm.errors import RETRYABLE, explain, refuses_schema
from pipeline.llm.load_balancer import LoadBalancer
from pipeline.llm.roles import find_role
from schemas.live import EndpointLive
from schemas.llm_config import LlmConfig, Unanswered

log = logging.getLogger(__name__)

HOPELESS_START = 20
"""Requests refused as wrong, none ever answered: the fault is in the configuration, not in the items."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """A request on its way."""

    request: ChatRequest
    body: dict[str, Any]
    """What is sent, as JSON values."""
    content: bytes
    """The same as bytes."""
    allowed: tuple[Endpoint, ...]
    """Endpoints that may take it."""


class OpenAiChatModel:
    """Answers requests by the endpoints of a configuration. `keys` holds the values of the variables it names."""

    def __init__(self, config: LlmConfig, keys: Mapping[str, str]) -> None:
        self._config = config
        self._endpoints = tuple(
            Endpoint(name, endpoint, config.limits, keys) for name, endpoint in config.endpoints.items()
        )
        self._dispatcher = LoadBalancer(config.limits.give_up)
        self._allowed: dict[str, tuple[Endpoint, ...]] = {}
        self.note_try: Callable[[Endpoint, Exception | None], None] | None = None
        """Told how each try ends, where calls are traced."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints, for whoever watches the run."""
        return self._endpoints

    def describe(self, request: ChatRequest) -> dict[str, Any]:
        """The request as it is sent: what decides its reply. Raises ConfigError for a role without a model."""
        role = find_role(self._config, request.role)
        return make_completion_body(role, request) if request.prompt_ids else make_body(role, request)

    def locate(self, role: str) -> tuple[str, ...]:
        """The URLs that requests of a role may go to, sorted. Raises ConfigError for none."""
        return tuple(sorted(endpoint.config.url for endpoint in self._find_endpoints(role)))

    def read(self, request: ChatRequest, content: bytes) -> ChatReply:
        """The reply in a body that answers the request."""
        return _read(content, self._make_call(request))

    def _make_call(self, request: ChatRequest) -> PendingCall:
        body = self.describe(request)
        return PendingCall(request, body, encode_body(body), self._find_endpoints(request.role))

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply. Raises ModelError."""
        call, limits, hangs = self._make_call(request), self._config.limits, 0

        async def try_once() -> ChatReply:
            nonlocal hangs
            try:
                return await self._try_once(call, hangs)
            except TimeoutError:
                hangs += 1
                raise

        retry = retrying(
            AsyncRetrying,
            request.role,
            RETRYABLE,
            tries=limits.tries,
            throttled_seconds=limits.give_up,
            longest_pause=limits.max_wait,
        )
        try:
            return await retry(try_once)
        except RETRYABLE as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            what = f"no reply after {limits.tries} tries, at last {said}"
            if limits.unanswered is Unanswered.REJECT:
                raise RefusedRequestError("no_reply", what) from error
            raise NoReplyError(what) from error

    async def _try_once(self, call: PendingCall, hangs: int) -> ChatReply:
        request, body, content = call.request, call.body, call.content
        endpoint = await self._dispatcher.acquire(call.allowed)
        time = asyncio.get_running_loop().time
        started = time()
        if not endpoint.takes_schemas and "response_format" in body:
            content = encode_body({key: value for key, value in body.items() if key != "response_format"})
        answered = False
        try:
            answer = await endpoint.post(content, request.role, hangs, bool(request.prompt_ids))
            reply = self._take(answer, call, endpoint, started)
            answered = True
            return reply
        except Exception as error:
            answered = True
            self._note_failure(error, endpoint, call, started)
            ours = self._explain(error, endpoint, body)
            if ours is None:
                raise
            raise ours from None
        finally:
            self._dispatcher.release(endpoint, abandoned=not answered)

    def _take(self, answer: bytes, call: PendingCall, endpoint: Endpoint, started: float) -> ChatReply:
        """The reply in an answer, entered into the endpoint's flow control."""
        now = asyncio.get_running_loop().time()
        role = call.request.role
        try:
            reply = replace(_read(answer, call), endpoint=endpoint.name)
        except RefusedRequestError as error:
            if error.reply is not None:
                endpoint.note_reply(role, now - started)
                said = replace(error.reply, endpoint=endpoint.name)
                raise RefusedRequestError(error.reason, error.what, said, endpoint.name) from None
            raise
        endpoint.note_reply(role, now - started)
        if self.note_try is not None:
            self.note_try(endpoint, None)
        return reply

    def _note_failure(self, error: Exception, endpoint: Endpoint, call: PendingCall, started: float) -> None:
        """Tell the endpoint's flow control what came instead of a reply."""
        now = asyncio.get_running_loop().time()
        endpoint.faults += 1
        if self.note_try is not None:
            self.note_try(endpoint, error)
        endpoint.last_fault = f"{type(error).__name__}: {error}"[:200]
        if isinstance(error, ThrottledError):
            endpoint.flow.note_throttle(now, started)
            endpoint.breaker.abandon()
            return
        if isinstance(error, TimeoutError):
            endpoint.patience(call.request.role).note(now - started)
        if not isinstance(error, RETRYABLE):
            endpoint.breaker.note_answer()
        elif endpoint.breaker.note_fault(now, started):
            log.warning("%s is left alone for a while: %s", endpoint.name, endpoint.last_fault)
            self._dispatcher.note_silence(endpoint, call.allowed)

    def _explain(self, error: Exception, endpoint: Endpoint, body: Mapping[str, Any]) -> Exception | None:
        """What to raise instead; None for the error as it is. An unusable endpoint closes the line."""
        if isinstance(error, ModelError):
            return error
        if "response_format" in body and refuses_schema(error):
            if endpoint.takes_schemas:
                log.warning("%s enforces no JSON schemas: replies are parsed leniently", endpoint.name)
            endpoint.takes_schemas = False
            return MalformedReplyError("schema refused")
        ours = explain(error, endpoint.name, str(body["model"]), body, endpoint.answered > 0)
        if isinstance(ours, RefusedRequestError) and ours.reason == "bad_request":
            endpoint.bad_requests += 1
            # Those in flight may still be answered.
            if endpoint.bad_requests >= max(HOPELESS_START, endpoint.in_flight) and not endpoint.answered:
                ours = EndpointError(ours.what, "check llm.roles: the server takes none of our requests")
        if isinstance(ours, EndpointError):
            self._dispatcher.close(ours)
        return ours

    def _find_endpoints(self, role: str) -> tuple[Endpoint, ...]:
        if role not in self._allowed:
            self._allowed[role] = tuple(endpoint for endpoint in self._endpoints if endpoint.serves(role))
            if not self._allowed[role]:
                raise ConfigError(f"no endpoint serves the role {role}", "name one in llm.endpoints")
        return self._allowed[role]

    def load(self) -> tuple[EndpointLive, ...]:
        """What the endpoints are doing."""
        return tuple(endpoint.load(self._dispatcher.count_waiting(endpoint)) for endpoint in self._endpoints)

    def stop(self) -> None:
        """Send nothing more: requests that wait are refused, those in flight go on."""
        self._dispatcher.close(ModelError("the run is being stopped"))
        for endpoint in self._endpoints:
            endpoint.stop()

    async def close(self) -> None:
        """Give up the connections; the next request opens new ones."""
        for endpoint in self._endpoints:
            await endpoint.close()
        self._dispatcher.reopen()


def _read(answer: bytes, call: PendingCall) -> ChatReply:
    """The reply in an answer; it carries the name of the model that was asked for.

    Raises UnreadBodyError where reading ends in an error that it should not end in: what was paid for is kept.
    """
    model, request = str(call.body["model"]), call.request
    try:
        if request.prompt_ids:
            return read_completion_reply(answer, model, len(request.prompt_ids))
        return read_reply(answer, model, len(call.content), request.stop)
    except (ModelError, MalformedReplyError, HttpStatusError, NoTokensError):
        raise
    except Exception as error:
        raise UnreadBodyError(
            f"a reply of {model} cannot be read: {type(error).__name__}: {error}",
            "this is a fault of rampforge: `rampforge --debug ...` shows where; the reply is kept under calls/",
            answer,
        ) from error
