"""The line before an engine, in one worker.

Promises: first come, first served; never more queries wait than allowed, unless a single request brings them; what
finds nobody in line is searched at once, but once a turn of the event loop, so that the line forms under load; the
loop gets its turn twice a millisecond or after each search, whichever is later, so that answers leave and new requests
are heard, or turned away, while a long batch is worked on. A core does one search at a time anyway: nothing is won by
threads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.search.engine import SearchEngine, SearchRequest
from schemas.trajectories import SearchCall

TURN_SECONDS = 0.0005
"""Longer turns cost latency: four times this doubled the 99th percentile at half load; none at all costs a tenth of
the throughput."""


class QueueFullError(Exception):
    """No room for a request now."""


@dataclass(slots=True)
class _Order:
    """What one request is owed."""

    requests: Sequence[SearchRequest]
    k: int
    future: asyncio.Future[list[SearchCall]]
    calls: list[SearchCall] = field(default_factory=list)


class QueryQueue:
    """Searches for many requests of one event loop."""

    def __init__(self, engine: SearchEngine, most: int, gather: int = 1) -> None:
        """`most`: queries that may wait; `gather`: queries given to the engine together."""
        self._engine = engine
        self._most = most
        self._gather = gather
        self._orders: deque[_Order] = deque()
        self._work: asyncio.Task[None] | None = None
        self._turn_taken = False
        self.waiting = 0
        """Queries not searched yet."""

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """A call for each request, in order. Raises QueueFullError."""
        if not requests:
            return []
        if self._work is None and not self._turn_taken and len(requests) <= self._gather:
            # Nobody is in line: a task and two turns of the event loop would cost a good part of the search.
            self._turn_taken = True
            asyncio.get_running_loop().call_soon(self._give_turn)
            return self._engine.search(requests, k)
        if self.waiting and self.waiting + len(requests) > self._most:
            raise QueueFullError
        order = _Order(requests, k, asyncio.get_running_loop().create_future())
        self._orders.append(order)
        self.waiting += len(requests)
        if self._work is None:
            self._work = asyncio.create_task(self._drain())
        return await order.future

    def _give_turn(self) -> None:
        self._turn_taken = False

    async def _drain(self) -> None:
        time = asyncio.get_running_loop().time
        turn_ends = time() + TURN_SECONDS
        try:
            while self._orders:
                self._step()
                if time() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time() + TURN_SECONDS
        finally:
            self._work = None

    def _step(self) -> None:
        """One batch: the next queries in line that want the same number of hits."""
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
                if not order.future.done():
                    order.future.set_exception(error)
            return
        for order, count in shares:
            order.calls += [next(calls) for _ in range(count)]
            if len(order.calls) == len(order.requests):
                self._orders.popleft()
                if not order.future.done():  # a client may have gone away
                    order.future.set_result(order.calls)
