"""Queue of queries before the engine of one worker.

Guarantees: first come, first served; no more queries are queued than allowed, unless by a single request. A request
that finds the queue empty is searched at once, for half a millisecond of the event loop's time; later ones are queued.
The loop gets a turn twice a millisecond or after each search, whichever is later, so that replies are sent and requests
received, or refused, during a long batch. A core does one search at a time: threads would gain nothing.
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

Outcome = list[SearchCall] | Exception
Callback = Callable[[Outcome], None]
"""Takes the outcome of a request; raises nothing."""


class QueueFullError(Exception):
    """The queue is full."""


@dataclass(slots=True)
class _Job:
    """The searches of one queued request."""

    requests: Sequence[SearchRequest]
    k: int
    callback: Callback
    calls: list[SearchCall] = field(default_factory=list)


class QueryQueue:
    """The queue of one event loop."""

    def __init__(
        self, engine: SearchEngine, limit: int, gather: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`limit`: queued queries at most; `gather`: queries searched together; `clock`: in seconds. The loop's own may
        count whole milliseconds (uvloop's does), longer than a turn."""
        self._engine = engine
        self._limit = limit
        self._gather = gather
        self._clock = clock
        self._jobs: deque[_Job] = deque()
        self._turn_ends: float | None = None
        """End of immediate searches; None: the loop has had a turn since the last of them."""
        self.waiting = 0
        """Queued queries."""

    def search(self, requests: Sequence[SearchRequest], k: int, callback: Callback) -> list[SearchCall] | None:
        """A call for each request, in order; None when they are queued: `callback` gets them later.

        Raises QueueFullError, and what the engine raises.
        """
        if not requests:
            return []
        if len(requests) <= self._gather and self._is_free():
            return self._engine.search(requests, k)
        if self.waiting and self.waiting + len(requests) > self._limit:
            raise QueueFullError
        self._jobs.append(_Job(requests, k, callback))
        self.waiting += len(requests)
        self._begin_turn()
        return None

    def _is_free(self) -> bool:
        """Whether a request is searched at once, which saves the wait and a good part of a search's cost."""
        return not self._jobs and self._clock() < self._begin_turn()

    def _begin_turn(self) -> float:
        if self._turn_ends is None:
            self._turn_ends = self._clock() + TURN_SECONDS
            asyncio.get_running_loop().call_soon(self._work)
        return self._turn_ends

    def _work(self) -> None:
        """Search queued queries for a turn. Callbacks are called at its end: waking the clients one by one would take
        a good part of it."""
        ends = self._clock() + TURN_SECONDS
        done: list[tuple[_Job, Outcome]] = []
        while self._jobs:
            done += self._step()
            if self._clock() >= ends:
                break
        for job, outcome in done:
            job.callback(outcome)
        self._turn_ends = None
        if self._jobs:
            self._begin_turn()

    def _step(self) -> list[tuple[_Job, Outcome]]:
        """Search one batch: the next queries with the same number of hits. The jobs that are finished by it."""
        k = self._jobs[0].k
        batch: list[SearchRequest] = []
        shares: list[tuple[_Job, int]] = []
        for job in self._jobs:
            if job.k != k or len(batch) == self._gather:
                break
            done = len(job.calls)
            share = job.requests[done : done + self._gather - len(batch)]
            batch += share
            shares.append((job, len(share)))
        self.waiting -= len(batch)
        try:
            calls = iter(self._engine.search(batch, k))
        except Exception as error:  # of any kind: it is the outcome of the jobs
            for job, count in shares:
                self.waiting -= len(job.requests) - len(job.calls) - count
                self._jobs.remove(job)
            return [(job, error) for job, _ in shares]
        for job, count in shares:
            job.calls += [next(calls) for _ in range(count)]
        finished = [job for job, _ in shares if len(job.calls) == len(job.requests)]
        for _ in finished:
            self._jobs.popleft()
        return [(job, job.calls) for job in finished]
