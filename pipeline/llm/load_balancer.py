"""Hands each request to the least loaded endpoint that may take it, and makes the rest wait in line.

Promises: no endpoint holds more requests than its limit; first come, first served among requests for the same
endpoints; a slot is given back however its request ends. Everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.llm.chat_model import EndpointError, ModelError
from pipeline.llm.endpoints import Endpoint

Waiting = deque[tuple[int, "asyncio.Future[Endpoint]"]]


class LoadBalancer:
    """The line before the endpoints."""

    def __init__(self, give_up: float) -> None:
        self._give_up = give_up
        self._lines: dict[tuple[Endpoint, ...], Waiting] = {}
        self._tickets = 0
        self._closed_by: ModelError | None = None

    def close(self, error: ModelError) -> None:
        """Refuse everyone who waits or comes, with this error. The first one counts."""
        if self._closed_by is None:
            self._closed_by = error
        for line in self._lines.values():
            for _, slot in line:
                if not slot.done():
                    slot.set_exception(self._closed_by)
            line.clear()

    def reopen(self) -> None:
        """Let requests in again, unless an endpoint is unusable."""
        if not isinstance(self._closed_by, EndpointError):
            self._closed_by = None

    async def acquire(self, allowed: tuple[Endpoint, ...]) -> Endpoint:
        """An endpoint with a free slot, which is now taken. Raises what the line was closed with."""
        if self._closed_by is not None:
            raise self._closed_by
        line = self._lines.setdefault(allowed, deque())
        loop = asyncio.get_running_loop()
        if not line:
            endpoint = pick(allowed, loop.time())
            if endpoint is not None:
                endpoint.start()
                return endpoint
        slot: asyncio.Future[Endpoint] = loop.create_future()
        self._tickets += 1
        line.append((self._tickets, slot))
        try:
            return await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self.release(slot.result(), abandoned=True)
            raise

    def count_waiting(self, endpoint: Endpoint) -> int:
        """Requests in line for an endpoint, or for one of several that it is among."""
        return sum(len(line) for allowed, line in list(self._lines.items()) if endpoint in allowed)

    def release(self, endpoint: Endpoint, abandoned: bool = False) -> None:
        """Give a slot back."""
        endpoint.finish(abandoned)
        self.serve()

    def serve(self) -> None:
        """Give free slots to those who wait, the one who came first going first."""
        now = asyncio.get_running_loop().time()
        while any(self._lines.values()):
            heads = [(line[0][0], allowed) for allowed, line in self._lines.items() if skip_gone(line)]
            served = False
            for _, allowed in sorted(heads, key=lambda head: head[0]):
                endpoint = pick(allowed, now)
                if endpoint is not None:
                    endpoint.start()
                    self._lines[allowed].popleft()[1].set_result(endpoint)
                    served = True
                    break
            if not served:
                return

    def note_silence(self, endpoint: Endpoint, allowed: tuple[Endpoint, ...]) -> None:
        """An endpoint has just been left alone: come back to it in time, or stop when all have been silent too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if all(self._is_lost(other, now) for other in allowed):
            names = ", ".join(other.name for other in allowed)
            self.close(
                EndpointError(
                    f"{names}: no answer ({endpoint.last_fault})",
                    "see that the server runs, then `rampforge resume RUN`",
                )
            )
        elif endpoint.breaker.open_until is not None:
            loop.call_later(max(0.0, endpoint.breaker.open_until - now) + 0.01, self.serve)

    def _is_lost(self, endpoint: Endpoint, now: float) -> bool:
        since = endpoint.breaker.silent_since
        allowance = self._give_up if endpoint.answered else self._give_up / 10
        return endpoint.breaker.open_until is not None and since is not None and now - since >= allowance


def pick(allowed: tuple[Endpoint, ...], now: float) -> Endpoint | None:
    """The endpoint with the smallest share of its slots taken, if any has one free."""
    best, least = None, 1.0
    for endpoint in allowed:
        share = endpoint.in_flight / endpoint.flow.limit
        if share < least and endpoint.breaker.admits(now):
            best, least = endpoint, share
    return best


def skip_gone(line: Waiting) -> bool:
    """Drop those who went away from the head of a line; whether anyone is left."""
    while line and line[0][1].done():
        line.popleft()
    return bool(line)
