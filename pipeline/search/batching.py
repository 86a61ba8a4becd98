"""A local engine for many coroutines: their searches are gathered into batches that run beside the event loop.

Promises: one batch runs at a time, so the engine needs no locks; what comes while it runs makes the next batch, so that
nothing waits for a clock; a failing batch fails just those who are in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from pipeline.search.engine import FoundPassage, SearchEngine, SearchRequest
from schemas.trajectories import SearchCall

LARGEST = 128
"""Those who share one batch; the next ones wait."""

Found = tuple[list[SearchCall], list[FoundPassage]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one coroutine waits for."""

    requests: Sequence[SearchRequest]
    k: int
    passage_ids: Sequence[str]
    future: asyncio.Future[Found]


class BatchedSearch:
    """An AsyncSearchEngine over an engine that coroutines of one event loop share."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self._wishes: deque[_Wish] = deque()
        self._work: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        """That of the engine."""
        return self._engine.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """A call for each request, in order."""
        calls, _ = await self._wish(requests, k, ())
        return calls

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages by id, in order. Raises SearchError for an unknown one."""
        _, passages = await self._wish((), 0, passage_ids)
        return passages

    async def close(self) -> None:
        """Wait for the batch under way."""
        if self._work is not None:
            await asyncio.wait([self._work])

    async def _wish(self, requests: Sequence[SearchRequest], k: int, passage_ids: Sequence[str]) -> Found:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._wishes.append(_Wish(requests, k, passage_ids, future))
        if self._work is None:
            self._work = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._wishes:
                batch = [self._wishes.popleft() for _ in range(min(len(self._wishes), LARGEST))]
                await self._grant(batch)
        finally:
            self._work = None

    async def _grant(self, batch: Sequence[_Wish]) -> None:
        try:
            calls, passages = await asyncio.to_thread(self._look_up, batch)
        except Exception as error:  # whatever it is, those who wait must hear of it
            for wish in batch:
                if not wish.future.done():
                    wish.future.set_exception(error)
            return
        some_calls, some_passages = iter(calls), iter(passages)
        for wish in batch:
            found = list(islice(some_calls, len(wish.requests))), list(islice(some_passages, len(wish.passage_ids)))
            if not wish.future.done():
                wish.future.set_result(found)

    def _look_up(self, batch: Sequence[_Wish]) -> Found:
        calls: list[SearchCall] = []
        for k, wishes in groupby(batch, key=lambda wish: wish.k):
            calls += self._engine.search([request for wish in wishes for request in wish.requests], k)
        return calls, self._engine.read([passage_id for wish in batch for passage_id in wish.passage_ids])
