"""Load balancer: each request goes to the least loaded endpoint that serves it, or waits in a queue.

Guarantees: no endpoint has more requests than its limit; requests for the same endpoints are served in order; a slot is
released however its request ends. Everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque

from pipeline.llm.chat_model import EndpointError, ModelError
from pipeline.llm.endpoints import Endpoint

Waiting = deque[tuple[int, "asyncio.Future[Endpoint]"]]


class LoadBalancer:
    """Queues before the endpoints."""

    def __init__(self, give_up: float) -> None:
        self._give_up = give_up
        self._queues: dict[tuple[Endpoint, ...], Waiting] = {}
        self._tickets = 0
        self._closed_by: ModelError | None = None

    def close(self, error: ModelError) -> None:
        """Refuse waiting and further requests with this error. The first one counts."""
        if self._closed_by is None:
            self._closed_by = error
        for queue in self._queues.values():
            for _, slot in queue:
                if not slot.done():
                    slot.set_exception(self._closed_by)
            queue.clear()

    def reopen(self) -> None:
        """Accept requests again, unless an endpoint is unusable."""
        if not isinstance(self._closed_by, EndpointError):
            self._closed_by = None

    async def acquire(self, allowed: tuple[Endpoint, ...]) -> Endpoint:
        """An endpoint with a free slot, which is now taken. Raises the error of `close`."""
        if self._closed_by is not None:
            raise self._closed_by
        queue = self._queues.setdefault(allowed, deque())
        loop = asyncio.get_running_loop()
        if not queue:
            endpoint = pick(allowed, loop.time())
            if endpoint is not None:
                endpoint.start()
                return endpoint
        slot: asyncio.Future[Endpoint] = loop.create_future()
        self._tickets += 1
        queue.append((self._tickets, slot))
        try:
            return await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled() and slot.exception() is None:
                self.release(slot.result(), abandoned=True)
            raise

    def count_waiting(self, endpoint: Endpoint) -> int:
        """Requests queued for an endpoint, or for several that include it."""
        return sum(len(queue) for allowed, queue in list(self._queues.items()) if endpoint in allowed)

    def release(self, endpoint: Endpoint, abandoned: bool = False) -> None:
        """Release a slot."""
        endpoint.finish(abandoned)
        self.serve()

    def serve(self) -> None:
        """Assign free slots to waiting requests, in their order."""
        now = asyncio.get_running_loop().time()
        while any(self._queues.values()):
            heads = [(queue[0][0], allowed) for allowed, queue in self._queues.items() if drop_cancelled(queue)]
            served = False
            for _, allowed in sorted(heads, key=lambda head: head[0]):
                endpoint = pick(allowed, now)
                if endpoint is not None:
                    endpoint.start()
                    self._queues[allowed].popleft()[1].set_result(endpoint)
                    served = True
                    break
            if not served:
                return

    def note_silence(self, endpoint: Endpoint, allowed: tuple[Endpoint, ...]) -> None:
        """The circuit of an endpoint has just opened: retry it in time, or stop when all have been silent too long."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if all(self._is_lost(other, now) for other in allowed):
            names = ", ".join(other.name for other in allowed)
            self.close(
                EndpointError(
                    f"{names}: no answer ({endpoint.last_fault})",
                    "check that the server runs, then `rampforge resume RUN`",
                )
            )
        elif endpoint.breaker.open_until is not None:
            loop.call_later(max(0.0, endpoint.breaker.open_until - now) + 0.01, self.serve)

    def _is_lost(self, endpoint: Endpoint, now: float) -> bool:
        since = endpoint.breaker.silent_since
        allowance = self._give_up if endpoint.answered else self._give_up / 10
        return endpoint.breaker.open_until is not None and since is not None and now - since >= allowance


def pick(allowed: tuple[Endpoint, ...], now: float) -> Endpoint | None:
    """The endpoint with the smallest share of its slots in use, if any has a free one."""
    best, least = None, 1.0
    for endpoint in allowed:
        share = endpoint.in_flight / endpoint.flow.limit
        if share < least and endpoint.breaker.admits(now):
            best, least = endpoint, share
    return best


def drop_cancelled(queue: Waiting) -> bool:
    """Drop cancelled requests from the head of a queue; whether any request is left."""
    while queue and queue[0][1].done():
        queue.popleft()
    return bool(queue)
