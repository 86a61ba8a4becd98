"""The line before an engine, in one worker.

Promises: first come, first served; never more queries wait than allowed, unless a single request brings them; what
finds nobody in line is searched on the spot, until half a millisecond of the event loop's time has gone into that; what
comes then forms the line. The loop gets its turn twice a millisecond or after each search, whichever is later, so that
answers leave and new requests are heard, or turned away, while a long batch is worked on. A core does one search at a
time anyway: nothing is won by threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.search.engine import SearchEngine, SearchRequest
from schemas.trajectories import SearchCall

TURN_SECONDS = 0.0005
"""Longer turns cost latency, shorter ones throughput."""

Found = list[SearchCall] | Exception
Tell = Callable[[Found], None]
"""Hears what was found, or why nothing was; raises nothing."""


class QueueFullError(Exception):
    """No room for a request now."""


@dataclass(slots=True)
class _Order:
    """What one request is owed."""

    requests: Sequence[SearchRequest]
    k: int
    tell: Tell
    calls: list[SearchCall] = field(default_factory=list)


class QueryQueue:
    """Searches for many requests of one event loop."""

    def __init__(
        self, engine: SearchEngine, most: int, gather: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`most`: queries that may wait; `gather`: queries given to the engine together; `clock`: seconds. The loop's
        own may count in whole milliseconds (uvloop's does), longer than a turn."""
        self._engine = engine
        self._most = most
        self._gather = gather
        self._clock = clock
        self._orders: deque[_Order] = deque()
        self._turn_ends: float | None = None
        """When the searches on the spot end; None: the loop has had its turn since the last of them."""
        self.waiting = 0
        """Queries not searched yet."""

    def search(self, requests: Sequence[SearchRequest], k: int, tell: Tell) -> list[SearchCall] | None:
        """A call for each request, in order; None where they are in line: `tell` hears of them.

        Raises QueueFullError, and what the engine raises.
        """
        if not requests:
            return []
        if len(requests) <= self._gather and self._is_free():
            return self._engine.search(requests, k)
        if self.waiting and self.waiting + len(requests) > self._most:
            raise QueueFullError
        self._orders.append(_Order(requests, k, tell))
        self.waiting += len(requests)
        self._begin_turn()
        return None

    def _is_free(self) -> bool:
        """Whether what comes now is searched on the spot: that saves the wait, and a good part of a search's cost."""
        return not self._orders and self._clock() < self._begin_turn()

    def _begin_turn(self) -> float:
        if self._turn_ends is None:
            self._turn_ends = self._clock() + TURN_SECONDS
            asyncio.get_running_loop().call_soon(self._work)
        return self._turn_ends

    def _work(self) -> None:
        """Search for those in line, for a turn. They hear of it at its end: to wake their clients one by one would
        take a good part of it."""
        ends = self._clock() + TURN_SECONDS
        done: list[tuple[_Order, Found]] = []
        while self._orders:
            done += self._step()
            if self._clock() >= ends:
                break
        for order, found in done:
            order.tell(found)
        self._turn_ends = None
        if self._orders:
            self._begin_turn()

    def _step(self) -> list[tuple[_Order, Found]]:
        """One batch: the next queries in line that want the same number of hits. Who of them has got all."""
        k = self._orders[0].k
        batch: list[SearchRequest] = []
        shares: list[tuple[_Order, int]] = []
        for order in self._orders:
            if order.k != k or len(batch) == self._gather:
                break
            done = len(order.calls)
            some = order.requests[done : done + self._gather - len(batch)]
            batch += some
            shares.append((order, len(some)))
        self.waiting -= len(batch)
        try:
            calls = iter(self._engine.search(batch, k))
        except Exception as error:  # whatever it is, those who wait must hear of it
            for order, count in shares:
                self.waiting -= len(order.requests) - len(order.calls) - count
                self._orders.remove(order)
            return [(order, error) for order, _ in shares]
        for order, count in shares:
            order.calls += [next(calls) for _ in range(count)]
        whole = [order for order, _ in shares if len(order.calls) == len(order.requests)]
        for _ in whole:
            self._orders.popleft()
        return [(order, order.calls) for order in whole]
