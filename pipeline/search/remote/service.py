"""How a search service behind HTTP is called: a server of ours or of others, or a web API.

Promises: a call ends within its deadline, as an answer or as a `FailedCallError` that carries the status for the row;
faults that may pass are tried again inside the deadline, after a pause that is never the same for all, or as long as
the server asks; no more calls are under way, and no more are started in a second, than the configuration allows; a
service that does not answer is left alone, but for a probe now and then; a spent quota is an error that says so and
ends all asking, never an empty result. Keys travel in headers and parameters, and are in no message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp

from pipeline.http.circuit_breaker import CircuitBreaker
from pipeline.http.errors import (
    UNPAID,
    HttpStatusError,
    RefusalError,
    ThrottledError,
    make_status_error,
)
from pipeline.http.proxies import find_proxy
from pipeline.http.retrying import AsyncRetrying, retrying
from schemas.search_config import SearchServiceConfig
from schemas.trajectories import SearchStatus

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.25
CONNECT_SECONDS = 5.0
KEEP_ALIVE = 60.0
QUOTA = "quota spent"
"""How the detail of a call begins that was refused because nothing is left to spend."""

T = TypeVar("T")


class FailedCallError(Exception):
    """A call that brought nothing; what becomes of it is a row's status, not a traceback."""

    def __init__(self, status: SearchStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class UnreadableSearchReplyError(ValueError):
    """A reply of 200 that does not hold what it should. Raised by whoever reads it; the call may be tried again."""


FAULTS = (HttpStatusError, UnreadableSearchReplyError, aiohttp.ClientError, OSError)
"""What a try may end with; a TimeoutError is an OSError."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent. Equal for every try."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """A reply of 200."""

    content: bytes
    headers: Mapping[str, str]


class SearchService:
    """One service: its connections, its limits, and whether it answers. Used inside one event loop at a time."""

    def __init__(
        self,
        name: str,
        config: SearchServiceConfig,
        is_quota: Callable[[HttpStatusError], bool] | None = None,
        secret: str = "",
    ) -> None:
        """`name`: what messages call it; `is_quota`: whether a refusal means that nothing is left to spend; `secret`:
        the key, so that a server that repeats it puts it nowhere."""
        self.name = name
        self._config = config
        self._is_quota = is_quota or says_unpaid
        self._secret = secret.encode()
        self._breaker = CircuitBreaker(config.give_up)
        self._slots = asyncio.Semaphore(config.in_flight)
        self._next_start = float("-inf")
        self._spent: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self.last_fault = ""

    async def call(self, request: HttpRequest, read: Callable[[ServiceReply], T]) -> T:
        """What `read` makes of the reply. Raises FailedCallError; `read` raises UnreadableSearchReplyError."""

        async def exchange() -> T:
            return read(await self._send(request))

        return await self.repeat(exchange)

    async def repeat(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """What an exchange with the service brings, tried again after what may pass. Raises FailedCallError."""
        async with self._slots:
            await self._take_turn()
            time = asyncio.get_running_loop().time
            deadline = time() + self._config.deadline
            tried = 0

            async def try_once() -> T:
                nonlocal tried
                if tried:
                    await self._take_turn()
                tried += 1
                remaining = deadline - time()
                # A hung try must leave time for another.
                return await self._try_once(exchange, remaining / (1 if tried == self._config.tries else 2))

            retry = retrying(
                AsyncRetrying,
                self.name,
                FAULTS,
                unless=self._is_final,
                tries=self._config.tries,
                seconds=self._config.deadline,
                pause=FIRST_PAUSE,
            )
            try:
                return await retry(try_once)
            except FAULTS as fault:
                last = tried == self._config.tries and not isinstance(fault, TimeoutError)
                status = SearchStatus.ERROR if last or self._is_final(fault) else SearchStatus.TIMEOUT
                raise FailedCallError(status, self.last_fault) from None

    async def close(self) -> None:
        """Give up the connections; the next call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _take_turn(self) -> None:
        """Wait until another call may be started."""
        if self._config.per_second is None:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self._config.per_second
        await asyncio.sleep(start - now)

    async def _try_once(self, exchange: Callable[[], Awaitable[T]], seconds: float) -> T:
        time = asyncio.get_running_loop().time
        started = time()
        if self._spent is not None:
            raise FailedCallError(SearchStatus.ERROR, self._spent)
        if not self._breaker.admits(started):
            raise FailedCallError(SearchStatus.ERROR, f"{self.name} is left alone: {self.last_fault}")
        self._breaker.start()
        try:
            async with asyncio.timeout(seconds):
                reply = await exchange()
        except FAULTS as error:
            self._note_fault(error, started)
            raise
        except BaseException:
            self._breaker.abandon()
            raise
        self._breaker.note_answer()
        return reply

    async def _send(self, request: HttpRequest) -> ServiceReply:
        session = self._session or self._connect()
        async with session.request(
            request.method,
            request.url,
            params=request.params or None,
            data=request.body,
            headers=request.headers,
            proxy=find_proxy(request.url),
            allow_redirects=False,  # a redirect would carry the key elsewhere
        ) as response:
            content = await response.read()
            if self._secret:
                content = content.replace(self._secret, b"(key)")
            if response.status != 200:
                raise make_status_error(response.status, content, response.headers)
            return ServiceReply(content, response.headers)

    def _connect(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._config.in_flight, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        )
        return self._session

    def _note_fault(self, error: Exception, started: float) -> None:
        self.last_fault = describe_fault(error)
        answer = error if isinstance(error, HttpStatusError) else None
        if answer is not None and self._is_quota(answer):
            self._spent = self.last_fault = f"{QUOTA}: {self.last_fault}"
            log.warning("%s: %s", self.name, self._spent)
        # One that turns requests away for now, or for good, is there.
        if isinstance(answer, ThrottledError | RefusalError) or (answer is not None and answer.retry_after):
            self._breaker.note_answer()
        elif self._breaker.note_fault(asyncio.get_running_loop().time(), started):
            log.warning("%s is left alone for a while: %s", self.name, self.last_fault)

    def _is_final(self, error: BaseException) -> bool:
        return isinstance(error, RefusalError) or (isinstance(error, HttpStatusError) and self._is_quota(error))


def says_unpaid(error: HttpStatusError) -> bool:
    """Whether a refusal is about money: 402, or the words that such refusals use."""
    return error.status == 402 or (error.status in (403, 429) and bool(UNPAID.search(error.detail)))


def describe_fault(error: Exception) -> str:
    """One line about what came instead of an answer. URLs are left out: some carry the key."""
    if isinstance(error, HttpStatusError | UnreadableSearchReplyError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    if isinstance(error, ConnectionError) and not isinstance(error, aiohttp.ClientError):
        return str(error)  # of `pipeline.llm.client`, which has no key in its words
    return f"connection lost: {type(error).__name__}"
