"""Chat model behind servers that speak the OpenAI protocol.

Guarantees: a transient fault costs a pause, not a request; a hung request is cancelled and repeated; the first sign
that an endpoint is unusable (wrong key, unknown model) stops everything at once; a server gets no more requests than it
can take. Used in one event loop at a time.
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
    RefusedParameterError,
    RefusedRequestError,
    UnreadBodyError,
)
from pipeline.llm.chat_protocol import MalformedReplyError, encode_body, make_body, read_reply
from pipeline.llm.completions_protocol import NoTokensError, make_completion_body, read_completion_reply
from pipeline.llm.endpoints import Endpoint
from pipeline.llm.errors import RETRYABLE, explain
from pipeline.llm.load_balancer import LoadBalancer
from pipeline.llm.roles import find_role
from schemas.live import EndpointLive
from schemas.llm_config import LlmConfig, Unanswered

log = logging.getLogger(__name__)

MOST_FORMS = 8
"""Forms of one request that are tried."""
HOPELESS_START = 20
"""Refusals as bad requests, without any answer, from which on the configuration is at fault, not the items."""


@dataclass(frozen=True, slots=True)
class PendingCall:
    """Request in flight."""

    request: ChatRequest
    body: dict[str, Any]
    """Its canonical body, as JSON values."""
    content: bytes
    """The same as bytes."""
    allowed: tuple[Endpoint, ...]
    """Endpoints that serve it."""


class OpenAiChatModel:
    """Chat model of the endpoints of a configuration. `keys`: values of the environment variables it names."""

    def __init__(self, config: LlmConfig, keys: Mapping[str, str]) -> None:
        self._config = config
        self._endpoints = tuple(
            Endpoint(name, endpoint, config.limits, keys) for name, endpoint in config.endpoints.items()
        )
        self._dispatcher = LoadBalancer(config.limits.give_up)
        self._allowed: dict[str, tuple[Endpoint, ...]] = {}
        self.note_try: Callable[[Endpoint, Exception | None], None] | None = None
        """Called at the end of each try, where calls are traced."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints."""
        return self._endpoints

    def describe(self, request: ChatRequest) -> dict[str, Any]:
        """The canonical body of a request, which decides its reply. Raises ConfigError for a role without a model."""
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
            cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            problem = f"no reply after {limits.tries} tries, at last {cause}"
            if limits.unanswered is Unanswered.REJECT:
                raise RefusedRequestError("no_reply", problem) from error
            raise NoReplyError(problem) from error

    async def _try_once(self, call: PendingCall, hangs: int) -> ChatReply:
        endpoint = await self._dispatcher.acquire(call.allowed)
        time = asyncio.get_running_loop().time
        started = time()
        answered = False
        try:
            reply = replace(await self._exchange(call, endpoint, hangs), endpoint=endpoint.name)
            answered = True
            self._note_reply(endpoint, call, started)
            return reply
        except RefusedRequestError as error:
            answered = True
            if error.reply is None:
                self._note_failure(error, endpoint, call, started)
                raise
            self._note_reply(endpoint, call, started)
            reply = replace(error.reply, endpoint=endpoint.name)
            raise RefusedRequestError(error.reason, error.what, reply, endpoint.name) from None
        except Exception as error:
            answered = True
            self._note_failure(error, endpoint, call, started)
            ours = self._explain(error, endpoint, call)
            if ours is None:
                raise
            raise ours from None
        finally:
            self._dispatcher.release(endpoint, abandoned=not answered)

    async def _exchange(self, call: PendingCall, endpoint: Endpoint, hangs: int) -> ChatReply:
        """The reply to a request in the form that the endpoint takes."""
        role, model = call.request.role, str(call.body["model"])
        form, proven = endpoint.form(role, find_role(self._config, role))
        path = "/completions" if call.request.prompt_ids else "/chat/completions"
        left = MOST_FORMS
        while True:
            left -= 1
            sent = form.apply(call.body)
            content = call.content if sent is call.body else encode_body(sent)
            try:
                reply = _read(await endpoint.post(content, path, model, role, hangs), call)
            except HttpStatusError as error:
                ours = explain(error, endpoint.name, model, sent, endpoint.answered > 0)
                other = form.learn(error, sent, lenient=not proven and _is_unexplained(ours))
                if other is None or not left:
                    raise
                form = other
            else:
                if not proven:
                    endpoint.settle_form(role, form)
                return reply

    def _note_reply(self, endpoint: Endpoint, call: PendingCall, started: float) -> None:
        """Enter a reply into the endpoint's flow control."""
        endpoint.note_reply(call.request.role, asyncio.get_running_loop().time() - started)
        if self.note_try is not None:
            self.note_try(endpoint, None)

    def _note_failure(self, error: Exception, endpoint: Endpoint, call: PendingCall, started: float) -> None:
        """Enter an error into the endpoint's flow control."""
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
            endpoint.timeout(call.request.role).note(now - started)
        if not isinstance(error, RETRYABLE):
            endpoint.breaker.note_answer()
        elif endpoint.breaker.note_fault(now, started):
            log.warning("circuit of %s open: %s", endpoint.name, endpoint.last_fault)
            self._dispatcher.note_silence(endpoint, call.allowed)

    def _explain(self, error: Exception, endpoint: Endpoint, call: PendingCall) -> Exception | None:
        """What to raise instead; None for the error as it is. An unusable endpoint refuses all further requests."""
        if isinstance(error, EndpointError):
            self._dispatcher.close(error)
        if isinstance(error, ModelError):
            return error
        body, widened = call.body, call.request.widening > 1
        ours = explain(error, endpoint.name, str(body["model"]), body, endpoint.answered > 0, widened)
        if isinstance(ours, RefusedRequestError) and ours.reason == "bad_request":
            endpoint.bad_requests += 1
            # Requests in flight may still be answered.
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
        """The state of the endpoints."""
        return tuple(endpoint.load(self._dispatcher.count_waiting(endpoint)) for endpoint in self._endpoints)

    def stop(self) -> None:
        """Refuse waiting and further requests; those in flight continue."""
        self._dispatcher.close(ModelError("the run is stopping"))
        for endpoint in self._endpoints:
            endpoint.stop()

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        for endpoint in self._endpoints:
            await endpoint.close()
        self._dispatcher.reopen()


def _is_unexplained(error: ModelError | None) -> bool:
    """Whether a refusal is for a cause that its words do not name."""
    bad = isinstance(error, RefusedRequestError) and error.reason == "bad_request"
    return bad or isinstance(error, RefusedParameterError)


def _read(answer: bytes, call: PendingCall) -> ChatReply:
    """The reply in a body, under the requested name of the model.

    Raises UnreadBodyError for an unexpected error of the parser: the body was paid for and is recorded.
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
            "this is a fault of rampforge: `rampforge --debug ...` shows where; the reply is recorded under calls/",
            answer,
        ) from error
