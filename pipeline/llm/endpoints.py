"""One server: its connections, its load, and what it has shown of itself.

Promises: a key is used and never shown; connections are opened in the event loop that uses them, and given back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from pipeline.errors import ConfigError
from pipeline.http.circuit_breaker import CircuitBreaker
from pipeline.http.errors import make_status_error
from pipeline.http.proxies import find_proxy
from pipeline.llm.concurrency_limit import AdaptiveTimeout, ConcurrencyLimit
from pipeline.llm.deadlines import Deadlines
from pipeline.llm.transport import Transport, open_transport
from schemas.live import EndpointLive
from schemas.llm_config import EndpointConfig, LimitsConfig

QUEUE_GAUGES = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs)(?:\{[^}]*\})? ([0-9.e+]+)", re.MULTILINE
)
METRICS_TIMEOUT = 5.0


class Endpoint:
    """A server that speaks the OpenAI protocol."""

    def __init__(self, name: str, config: EndpointConfig, limits: LimitsConfig, keys: Mapping[str, str]) -> None:
        if config.key is not None and not keys.get(config.key):
            raise ConfigError(f"endpoint {name} needs a key, and {config.key} is not set", f"export {config.key}=...")
        if config.key is not None and not (keys[config.key].isascii() and keys[config.key].isprintable()):
            raise ConfigError(
                f"the value of {config.key} is no key: a header cannot carry it", f"export {config.key}=..."
            )
        self.name = name
        self.config = config
        self.flow = ConcurrencyLimit(config.max_in_flight, config.adaptive)
        self.breaker = CircuitBreaker()
        self.in_flight = 0
        self.answered = 0
        """Replies so far."""
        self.faults = 0
        """Tries that came to nothing so far."""
        self.bad_requests = 0
        self.takes_schemas = True
        """Whether JSON schemas are sent to it; false from its first refusal on."""
        self.last_fault = ""
        self._limits = limits
        parts = urlsplit(config.url)
        base = parts.path.rstrip("/")
        query = f"?{parts.query}" if parts.query else ""
        self._chat, self._completions = f"{base}/chat/completions{query}", f"{base}/completions{query}"
        self._metrics = base.removesuffix("/v1") + "/metrics"
        self._headers = {"content-type": "application/json"}
        if config.key is not None:
            self._headers["authorization"] = f"Bearer {keys[config.key]}"
        self._proxy = find_proxy(config.url, config.proxy)
        self._patience: dict[str, AdaptiveTimeout] = {}
        self._deadlines = Deadlines()
        self._transport: Transport | None = None
        self._metrics_task: asyncio.Task[None] | None = None

    def serves(self, role: str) -> bool:
        """Whether it serves a role."""
        return not self.config.roles or role in self.config.roles

    def patience(self, role: str) -> AdaptiveTimeout:
        """How long replies to a role are waited for here."""
        if role not in self._patience:
            self._patience[role] = AdaptiveTimeout(self._limits.min_deadline, self._limits.deadline)
        return self._patience[role]

    def load(self, waiting: int) -> EndpointLive:
        """What it is doing, with so many requests in line for it."""
        usual = max((patience.usual for patience in list(self._patience.values())), default=0.0)
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
        """A request takes a slot."""
        self.in_flight += 1
        self.breaker.start()

    def finish(self, abandoned: bool) -> None:
        """A request gives its slot back."""
        self.in_flight -= 1
        if abandoned:
            self.breaker.abandon()

    def note_reply(self, role: str, seconds: float, tokens: int, now: float) -> None:
        """A reply came."""
        self.answered += 1
        self.breaker.note_answer()
        self.patience(role).note(seconds)
        # The slot of the request that has just ended still counts.
        window_over = self.flow.note_reply(now, tokens, self.in_flight >= self.flow.limit)
        if window_over and self.config.metrics and self._metrics_task is None:
            self._metrics_task = asyncio.ensure_future(self._read_queue())
            self._metrics_task.add_done_callback(self._forget_look)

    async def post(self, body: bytes, role: str, hangs: int, tokens: bool = False) -> bytes:
        """Send a request that has hung so often before, one of a chat or of `tokens`; the body of the reply.

        Raises HttpStatusError, ConnectionError, and TimeoutError when the role's patience is at its end.
        """
        request = self._connect().request("POST", self._completions if tokens else self._chat, body)
        reply = await self._deadlines.wait_for(request, self.patience(role), hangs)
        if not 200 <= reply.status < 300:
            raise make_status_error(reply.status, reply.content, reply.headers)
        return reply.content

    def _connect(self) -> Transport:
        if self._transport is None:
            self._transport = open_transport(self.config.url, self._headers, self._proxy)
        return self._transport

    async def _read_queue(self) -> None:
        """Ask the server how many requests wait there. Silence leaves the limit to other signs."""
        content = b""
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(METRICS_TIMEOUT):
                reply = await self._connect().request("GET", self._metrics)
            if reply.status == 200:
                content = reply.content
        waiting = QUEUE_GAUGES.findall(content)
        self.flow.queue = int(sum(map(float, waiting))) if waiting else None

    def _forget_look(self, _: asyncio.Task[None]) -> None:
        self._metrics_task = None

    def stop(self) -> None:
        """Leave the queue alone: nobody needs to wait for that answer."""
        if self._metrics_task is not None:
            self._metrics_task.cancel()

    async def close(self) -> None:
        """Give up the connections."""
        self.stop()
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()
