"""Ends requests that hang. One timer for all of them: a timer each would cost more than a look now and then.

Promises: a request is given up at most `SWEEP_SECONDS` after its deadline, and its deadline is what is usual at that
moment, not what was known when it was sent: before the first replies nobody knows how long they take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from pipeline.llm.concurrency_limit import AdaptiveTimeout

SWEEP_SECONDS = 0.1

T = TypeVar("T")


class Deadlines:
    """The requests under way at one endpoint."""

    def __init__(self) -> None:
        self._watched: dict[asyncio.Timeout, tuple[float, AdaptiveTimeout, int]] = {}
        self._sweeping: asyncio.AbstractEventLoop | None = None

    async def wait_for(self, reply: Awaitable[T], patience: AdaptiveTimeout, hangs: int) -> T:
        """The reply to a request that hung so often before. Raises TimeoutError when patience is at its end."""
        loop = asyncio.get_running_loop()
        if self._sweeping is not loop:
            self._sweeping = loop
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        timeout = asyncio.timeout(None)
        self._watched[timeout] = (loop.time(), patience, hangs)
        try:
            async with timeout:
                return await reply
        finally:
            del self._watched[timeout]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is overdue; come again while anything is under way."""
        now = loop.time()
        for timeout, (started, patience, hangs) in self._watched.items():
            if now - started > patience.deadline(hangs) and not timeout.expired():
                timeout.reschedule(now)
        if self._watched:
            loop.call_later(SWEEP_SECONDS, self._sweep, loop)
        else:
            self._sweeping = None
