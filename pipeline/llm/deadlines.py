"""Deadlines of requests.

The timeout of the library is fixed when a request is sent, and restarts with each piece of a reply. Here a deadline
follows the current estimate, because before the first replies their usual time is unknown.

Contract: a request is cancelled at most `SWEEP_SECONDS` after its deadline. Time in which the event loop was blocked,
by its own work or because the machine was busy or asleep, hardly counts: a reply that waits to be read is not overdue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from pipeline.llm.concurrency_limit import AdaptiveTimeout

SWEEP_SECONDS = 0.1
MOST_COUNTED = 2 * SWEEP_SECONDS
"""Maximum seconds that count between two sweeps."""

T = TypeVar("T")


class Deadlines:
    """Deadlines of the requests to one endpoint. One timer serves all, since deadlines move while requests wait."""

    def __init__(self) -> None:
        self._watched: dict[asyncio.Timeout, tuple[float, AdaptiveTimeout, int]] = {}
        self._sweeping: asyncio.AbstractEventLoop | None = None
        self._counted = self._swept_at = 0.0
        """Seconds counted up to the last sweep, and its time."""

    async def wait_for(self, reply: Awaitable[T], adaptive: AdaptiveTimeout, hangs: int) -> T:
        """The reply to a request that timed out `hangs` times before. Raises TimeoutError after its deadline."""
        loop = asyncio.get_running_loop()
        if self._sweeping is not loop:
            self._sweeping = loop
            self._swept_at = loop.time()
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        timeout = asyncio.timeout(None)
        self._watched[timeout] = (self._count(loop.time()), adaptive, hangs)
        try:
            async with timeout:
                return await reply
        finally:
            del self._watched[timeout]

    def _count(self, now: float) -> float:
        return self._counted + min(now - self._swept_at, MOST_COUNTED)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel overdue requests; repeat while there are any."""
        now = loop.time()
        self._counted, self._swept_at = self._count(now), now
        for timeout, (started, adaptive, hangs) in self._watched.items():
            if self._counted - started > adaptive.deadline(hangs) and not timeout.expired():
                timeout.reschedule(now)
        if self._watched:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        else:
            self._sweeping = None
