"""One server: its connections, its load, and what it has shown of itself.

Requests go straight through aiohttp: the openai client's own layers cost five times as much (measured: 0.67 ms of CPU a
call by its leanest path on aiohttp, 1.9 ms as it comes, 0.12 ms without it), and at 1,000 requests in flight the CPU of
the client is what limits a run.

Promises: a key is used and never shown; connections are opened in the event loop that uses them, and given back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from weakref import WeakKeyDictionary

import aiohttp

from pipeline.errors import ConfigError
from pipeline.llm.faults import make_status_error
from pipeline.llm.flow_control import AdaptiveLimit, CircuitBreaker, Patience
from schemas.llm_config import EndpointConfig, LimitsConfig

QUEUE_GAUGES = re.compile(
    rb"^(?:vllm:num_requests_waiting|sglang:num_queue_reqs)(?:\{[^}]*\})? ([0-9.e+]+)", re.MULTILINE
)
METRICS_TIMEOUT = 5.0
CONNECT_TIMEOUT = 10.0
KEEP_ALIVE = 60.0


class Endpoint:
    """A server that speaks the OpenAI protocol."""

    def __init__(self, name: str, config: EndpointConfig, limits: LimitsConfig, keys: Mapping[str, str]) -> None:
        if config.key is not None and not keys.get(config.key):
            raise ConfigError(f"endpoint {name} needs a key, and {config.key} is not set", f"export {config.key}=...")
        self.name = name
        self.config = config
        self.flow = AdaptiveLimit(config.max_in_flight, config.adaptive)
        self.breaker = CircuitBreaker()
        self.in_flight = 0
        self.answered = 0
        """Replies so far."""
        self.bad_requests = 0
        self.takes_schemas = True
        """Whether JSON schemas are sent to it; false from its first refusal on."""
        self.last_fault = ""
        self._limits = limits
        self._url = f"{config.url.rstrip('/')}/chat/completions"
        self._headers = {"content-type": "application/json"}
        if config.key is not None:
            self._headers["authorization"] = f"Bearer {keys[config.key]}"
        self._patience: dict[str, Patience] = {}
        self._unsettled: dict[str, WeakKeyDictionary[asyncio.Timeout, tuple[float, int]]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._metrics_task: asyncio.Task[None] | None = None

    def serves(self, role: str) -> bool:
        """Whether it serves a role."""
        return not self.config.roles or role in self.config.roles

    def patience(self, role: str) -> Patience:
        """How long replies to a role are waited for here."""
        if role not in self._patience:
            self._patience[role] = Patience(self._limits.min_deadline, self._limits.deadline)
        return self._patience[role]

    def watch(self, role: str, started: float, hangs: int) -> asyncio.Timeout:
        """A deadline for one request. Those set before it was known how long replies take are corrected later."""
        patience = self.patience(role)
        timeout = asyncio.timeout_at(started + patience.deadline(hangs))
        if not patience.settled:
            self._unsettled.setdefault(role, WeakKeyDictionary())[timeout] = (started, hangs)
        return timeout

    def _settle(self, role: str, now: float) -> None:
        patience = self.patience(role)
        for timeout, (started, hangs) in list(self._unsettled.pop(role, {}).items()):
            with suppress(RuntimeError):  # its request has ended
                timeout.reschedule(max(now, started + patience.deadline(hangs)))

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
        patience = self.patience(role)
        patience.note(seconds)
        if patience.settled and role in self._unsettled:
            self._settle(role, now)
        # The slot of the request that has just ended still counts.
        if self.flow.note_reply(now, tokens, self.in_flight >= self.flow.limit) and self.config.metrics:
            self._metrics_task = asyncio.ensure_future(self._read_queue())

    async def post(self, body: bytes) -> bytes:
        """Send a chat request; the body of the reply. Raises HttpStatusError and what the transport raises."""
        session = self._session or self._connect()
        async with session.post(self._url, data=body, headers=self._headers, proxy=self.config.proxy) as response:
            content = await response.read()
            if response.status != 200:
                raise make_status_error(response.status, content, response.headers)
            return content

    def _connect(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.config.max_in_flight, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
        )
        return self._session

    async def _read_queue(self) -> None:
        """Ask the server how many requests wait there. Silence leaves the limit to other signs."""
        url = re.sub(r"/v1/?$", "", self.config.url.rstrip("/")) + "/metrics"
        session = self._session or self._connect()
        content = b""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(METRICS_TIMEOUT), session.get(url, proxy=self.config.proxy) as response:
                if response.status == 200:
                    content = await response.read()
        waiting = QUEUE_GAUGES.findall(content)
        self.flow.queue = int(sum(map(float, waiting))) if waiting else None

    async def close(self) -> None:
        """Give up the connections."""
        if self._metrics_task is not None:
            self._metrics_task.cancel()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
