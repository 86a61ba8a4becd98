"""Client of a search service behind HTTP: a retrieval server or a web API.

Guarantees: a call ends within its deadline, as an answer or as a `FailedCallError` with the status of the row;
transient errors are retried inside the deadline, with jitter or as Retry-After says; concurrency and rate stay within
the configuration; a service that does not answer is called by single probes alone until it does; a spent quota is an
error, never an empty result, and ends all calls. Keys are sent in headers and parameters, and are in no message.
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
"""Start of the detail of a call that was refused for a spent quota."""

T = TypeVar("T")


class FailedCallError(Exception):
    """A call that failed, with the status and detail of its row."""

    def __init__(self, status: SearchStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class UnreadableSearchReplyError(ValueError):
    """A reply of 200 with the wrong content; the call may be retried."""


FAILURES = (HttpStatusError, UnreadableSearchReplyError, aiohttp.ClientError, OSError)
"""Errors of an attempt; a TimeoutError is an OSError."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request, the same for every attempt."""

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
    """One service: its connections, its limits, and its circuit breaker. Used inside one event loop at a time."""

    def __init__(
        self,
        name: str,
        config: SearchServiceConfig,
        is_quota: Callable[[HttpStatusError], bool] | None = None,
        secret: str = "",
    ) -> None:
        """`name`: for messages; `is_quota`: whether a refusal reports a spent quota; `secret`: the key, removed from
        replies."""
        self.name = name
        self._config = config
        self._is_quota = is_quota or says_unpaid
        self._secret = secret.encode()
        self._breaker = CircuitBreaker(config.give_up)
        self._slots = asyncio.Semaphore(config.in_flight)
        self._next_start = float("-inf")
        self._spent: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self.last_failure = ""

    async def call(self, request: HttpRequest, read: Callable[[ServiceReply], T]) -> T:
        """The result of `read` on the reply. Raises FailedCallError; `read` may raise UnreadableSearchReplyError."""

        async def exchange() -> T:
            return read(await self._send(request))

        return await self.repeat(exchange)

    async def repeat(self, exchange: Callable[[], Awaitable[T]]) -> T:
        """The result of an exchange with the service, retried after transient errors. Raises FailedCallError."""
        async with self._slots:
            await self._take_turn()
            time = asyncio.get_running_loop().time
            deadline = time() + self._config.deadline
            attempts = 0

            async def attempt() -> T:
                nonlocal attempts
                if attempts:
                    await self._take_turn()
                attempts += 1
                remaining = deadline - time()
                # A hung attempt must leave time for another.
                return await self._attempt(exchange, remaining / (1 if attempts == self._config.tries else 2))

            retry = retrying(
                AsyncRetrying,
                self.name,
                FAILURES,
                unless=self._is_final,
                tries=self._config.tries,
                seconds=self._config.deadline,
                pause=FIRST_PAUSE,
            )
            try:
                return await retry(attempt)
            except FAILURES as error:
                last = attempts == self._config.tries and not isinstance(error, TimeoutError)
                status = SearchStatus.ERROR if last or self._is_final(error) else SearchStatus.TIMEOUT
                raise FailedCallError(status, self.last_failure) from None

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _take_turn(self) -> None:
        """Wait for the rate limit."""
        if self._config.per_second is None:
            return
        now = asyncio.get_running_loop().time()
        start = max(now, self._next_start)
        self._next_start = start + 1 / self._config.per_second
        await asyncio.sleep(start - now)

    async def _attempt(self, exchange: Callable[[], Awaitable[T]], seconds: float) -> T:
        time = asyncio.get_running_loop().time
        started = time()
        if self._spent is not None:
            raise FailedCallError(SearchStatus.ERROR, self._spent)
        if not self._breaker.admits(started):
            raise FailedCallError(SearchStatus.ERROR, f"{self.name} does not answer: {self.last_failure}")
        self._breaker.start()
        try:
            async with asyncio.timeout(seconds):
                reply = await exchange()
        except FAILURES as error:
            self._note_failure(error, started)
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
            allow_redirects=False,  # a redirect would send the key elsewhere
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

    def _note_failure(self, error: Exception, started: float) -> None:
        self.last_failure = describe_failure(error)
        answer = error if isinstance(error, HttpStatusError) else None
        if answer is not None and self._is_quota(answer):
            self._spent = self.last_failure = f"{QUOTA}: {self.last_failure}"
            log.warning("%s: %s", self.name, self._spent)
        # A server that refuses requests, for now or for good, is up.
        if isinstance(answer, ThrottledError | RefusalError) or (answer is not None and answer.retry_after):
            self._breaker.note_answer()
        elif self._breaker.note_fault(asyncio.get_running_loop().time(), started):
            log.warning("%s does not answer and is called less for a while: %s", self.name, self.last_failure)

    def _is_final(self, error: BaseException) -> bool:
        return isinstance(error, RefusalError) or (isinstance(error, HttpStatusError) and self._is_quota(error))


def says_unpaid(error: HttpStatusError) -> bool:
    """Whether a refusal is about money: by status 402, or by its text."""
    return error.status == 402 or (error.status in (403, 429) and bool(UNPAID.search(error.detail)))


def describe_failure(error: Exception) -> str:
    """One line about an error, without URLs: some contain the key."""
    if isinstance(error, HttpStatusError | UnreadableSearchReplyError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    if isinstance(error, ConnectionError) and not isinstance(error, aiohttp.ClientError):
        return str(error)  # of `pipeline.llm.client`, without a key
    return f"connection lost: {type(error).__name__}"
