"""Endpoint: connections, load and observed properties of one server.

Guarantees: a key is used and never shown; connections are opened in the event loop that uses them, and closed.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from pipeline.http.circuit_breaker import CircuitBreaker
from pipeline.http.errors import HttpStatusError
from pipeline.http.proxies import find_proxy
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.concurrency_limit import AdaptiveTimeout, ConcurrencyLimit
from pipeline.llm.credentials import Credentials
from pipeline.llm.deadlines import Deadlines
from pipeline.llm.request_form import ReplyFormat, RequestForm, locate, make_form
from schemas.live import EndpointLive
from schemas.llm_config import EndpointConfig, LimitsConfig, RoleModelConfig

if TYPE_CHECKING:
    from pipeline.llm.client import AsyncApiClient

log = logging.getLogger(__name__)

QUEUE_GAUGES = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs|llamacpp:requests_deferred)(?:\{[^}]*\})? ([0-9.e+]+)",
    re.MULTILINE,
)
METRICS_TIMEOUT = 5.0


class Endpoint:
    """Server that speaks the OpenAI protocol."""

    def __init__(self, name: str, config: EndpointConfig, limits: LimitsConfig, keys: Mapping[str, str]) -> None:
        self.name = name
        self.config = config
        self.flow = ConcurrencyLimit(config.max_in_flight, config.adaptive)
        self.breaker = CircuitBreaker()
        self.in_flight = 0
        self.answered = 0
        """Replies so far."""
        self.faults = 0
        """Failed tries so far."""
        self.bad_requests = 0
        self._forms: dict[str, RequestForm] = {}
        self.last_fault = ""
        self._limits = limits
        self._credentials = Credentials(name, config, keys)
        find_proxy(config.url, config.proxy)  # an unusable one is an error at once
        self._timeouts: dict[str, AdaptiveTimeout] = {}
        self._deadlines = Deadlines()
        self._client: AsyncApiClient | None = None
        self._metrics_task: asyncio.Task[None] | None = None

    def serves(self, role: str) -> bool:
        """Whether it serves a role."""
        return not self.config.roles or role in self.config.roles

    def timeout(self, role: str) -> AdaptiveTimeout:
        """Timeout of the requests of a role."""
        if role not in self._timeouts:
            self._timeouts[role] = AdaptiveTimeout(self._limits.min_deadline, self._limits.deadline)
        return self._timeouts[role]

    def load(self, waiting: int) -> EndpointLive:
        """Its state, with so many requests waiting for it."""
        usual = max((timeout.usual for timeout in list(self._timeouts.values())), default=0.0)
        return EndpointLive(
            name=self.name,
            in_flight=self.in_flight,
            limit=self.flow.limit,
            waiting=waiting,
            answered=self.answered,
            faults=self.faults,
            usual_seconds=usual,
            last_fault=self.last_fault,
        )

    def start(self) -> None:
        """Occupy a slot."""
        self.in_flight += 1
        self.breaker.start()

    def finish(self, abandoned: bool) -> None:
        """Release a slot."""
        self.in_flight -= 1
        if abandoned:
            self.breaker.abandon()

    def note_reply(self, role: str, seconds: float) -> None:
        """Record a reply."""
        self.answered += 1
        self.breaker.note_answer()
        self.timeout(role).note(seconds)
        # The slot of the finished request still counts.
        window_over = self.flow.note_reply(self.in_flight >= self.flow.limit)
        if window_over and self.config.metrics and not self.config.api_version and self._metrics_task is None:
            self._metrics_task = asyncio.ensure_future(self._read_queue())
            self._metrics_task.add_done_callback(self._end_metrics)

    def form(self, role: str, model: RoleModelConfig) -> tuple[RequestForm, bool]:
        """The form in which it takes requests of a role, and whether it has answered one in that form."""
        known = self._forms.get(role)
        return (make_form(self.config, model), False) if known is None else (known, True)

    def settle_form(self, role: str, form: RequestForm) -> None:
        """Record the form of the first answered request of a role, for all further ones."""
        if role not in self._forms:
            self._forms[role] = form
            if form.reply_format is not ReplyFormat.SCHEMA:
                log.warning("%s does not enforce JSON schemas: replies are parsed leniently", self.name)

    async def post(self, body: bytes, path: str, model: str, role: str, hangs: int) -> bytes:
        """The body of the reply to a request that timed out `hangs` times before.

        Raises HttpStatusError, ConnectionError, EndpointError, and TimeoutError.
        """
        reply = self._connect().request(locate(self.config, path, model), body)
        return await self._deadlines.wait_for(reply, self.timeout(role), hangs)

    def _connect(self) -> AsyncApiClient:
        from pipeline.llm.client import AsyncApiClient

        if self._client is None:
            # One more than requests, for the queue.
            self._client = AsyncApiClient(self.config, self._credentials, self.flow.maximum + 1)
        return self._client

    async def _read_queue(self) -> None:
        """Read the length of the server's queue; without one the limit follows 429s alone."""
        content = b""
        client = self._connect()
        place = client.base_url.copy_with(path=client.base_url.path.rstrip("/").removesuffix("/v1") + "/metrics")
        with suppress(ConnectionError, TimeoutError, HttpStatusError, EndpointError):
            async with asyncio.timeout(METRICS_TIMEOUT):
                content = await client.request(str(place))
        waiting = QUEUE_GAUGES.findall(content)
        self.flow.queue = int(sum(map(float, waiting))) if waiting else None

    def _end_metrics(self, _: asyncio.Task[None]) -> None:
        self._metrics_task = None

    def stop(self) -> None:
        """Stop reading the queue."""
        if self._metrics_task is not None:
            self._metrics_task.cancel()

    async def close(self) -> None:
        """Close the connections."""
        self.stop()
        client, self._client = self._client, None
        if client is not None:
            await client.close()
