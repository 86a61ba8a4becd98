"""One server: its connections, its load, and what it has shown of itself.

Promises: a key is used and never shown; connections are opened in the event loop that uses them, and given back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress

import openai

from pipeline.errors import ConfigError
from pipeline.http.circuit_breaker import CircuitBreaker
from pipeline.http.errors import HttpStatusError
from pipeline.http.proxies import find_proxy
from pipeline.llm.client import open_async_client, request
from pipeline.llm.concurrency_limit import AdaptiveTimeout, ConcurrencyLimit
from pipeline.llm.deadlines import Deadlines
from schemas.live import EndpointLive
from schemas.llm_config import EndpointConfig, LimitsConfig

QUEUE_GAUGES = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs|llamacpp:requests_deferred)(?:\{[^}]*\})? ([0-9.e+]+)",
    re.MULTILINE,
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
        self._key = keys[config.key] if config.key is not None else ""
        find_proxy(config.url, config.proxy)  # one that cannot be used is an error at once
        self._patience: dict[str, AdaptiveTimeout] = {}
        self._deadlines = Deadlines()
        self._client: openai.AsyncOpenAI | None = None
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

    def note_reply(self, role: str, seconds: float) -> None:
        """A reply came."""
        self.answered += 1
        self.breaker.note_answer()
        self.patience(role).note(seconds)
        # The slot of the request that has just ended still counts.
        window_over = self.flow.note_reply(self.in_flight >= self.flow.limit)
        if window_over and self.config.metrics and self._metrics_task is None:
            self._metrics_task = asyncio.ensure_future(self._read_queue())
            self._metrics_task.add_done_callback(self._forget_look)

    async def post(self, body: bytes, role: str, hangs: int, tokens: bool = False) -> bytes:
        """Send a request that has hung so often before, one of a chat or of `tokens`; the body of the reply.

        Raises HttpStatusError, ConnectionError, and TimeoutError when the role's patience is at its end.
        """
        reply = request(self._connect(), "/completions" if tokens else "/chat/completions", body)
        return await self._deadlines.wait_for(reply, self.patience(role), hangs)

    def _connect(self) -> openai.AsyncOpenAI:
        if self._client is None:
            # One more than there are requests, to ask for the queue.
            self._client = open_async_client(self.config.url, self._key, self.config.proxy, self.flow.maximum + 1)
        return self._client

    async def _read_queue(self) -> None:
        """Ask the server how many requests wait there. Silence leaves the limit to other signs."""
        content = b""
        client = self._connect()
        place = client.base_url.copy_with(path=client.base_url.path.rstrip("/").removesuffix("/v1") + "/metrics")
        with suppress(ConnectionError, TimeoutError, HttpStatusError):
            async with asyncio.timeout(METRICS_TIMEOUT):
                content = await request(client, str(place))
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
        client, self._client = self._client, None
        if client is not None:
            await client.close()
