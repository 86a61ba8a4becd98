"""Deadlines of requests: ends those that hang.

The library's own timeout is fixed when a request is sent and starts anew with each piece of a reply. Here a deadline
follows what is usual now: before the first replies nobody knows how long they take.

Contract: a request ends at most `SWEEP_SECONDS` after its deadline. Time in which the event loop was held up, by work
of its own or because the machine was busy or asleep, hardly counts: a reply that waits to be read is not overdue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from pipeline.llm.concurrency_limit import AdaptiveTimeout

SWEEP_SECONDS = 0.1
MOST_COUNTED = 2 * SWEEP_SECONDS
"""Of the time between two sweeps."""

T = TypeVar("T")


class Deadlines:
    """The requests under way at one endpoint. One timer for all: their deadlines move while they wait."""

    def __init__(self) -> None:
        self._watched: dict[asyncio.Timeout, tuple[float, AdaptiveTimeout, int]] = {}
        self._sweeping: asyncio.AbstractEventLoop | None = None
        self._counted = self._swept_at = 0.0
        """Seconds that counted up to the last sweep, and when that was."""

    async def wait_for(self, reply: Awaitable[T], patience: AdaptiveTimeout, hangs: int) -> T:
        """The reply to a request that hung so often before. Raises TimeoutError when patience is at its end."""
        loop = asyncio.get_running_loop()
        if self._sweeping is not loop:
            self._sweeping = loop
            self._swept_at = loop.time()
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        timeout = asyncio.timeout(None)
        self._watched[timeout] = (self._count(loop.time()), patience, hangs)
        try:
            async with timeout:
                return await reply
        finally:
            del self._watched[timeout]

    def _count(self, now: float) -> float:
        return self._counted + min(now - self._swept_at, MOST_COUNTED)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is overdue; come again while anything is under way."""
        now = loop.time()
        self._counted, self._swept_at = self._count(now), now
        for timeout, (started, patience, hangs) in self._watched.items():
            if self._counted - started > patience.deadline(hangs) and not timeout.expired():
                timeout.reschedule(now)
        if self._watched:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        else:
            self._sweeping = None
