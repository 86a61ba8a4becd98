"""A local engine shared by coroutines: their searches are gathered into batches that run in a thread.

Guarantees: one batch runs at a time, so the engine needs no locks; searches that arrive meanwhile are the next batch,
so that none waits for a timer; a failing batch fails only its own searches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from pipeline.search.engine import FoundPassage, SearchEngine, SearchRequest
from schemas.trajectories import SearchCall

MAX_BATCH = 128
"""Pending lookups in one batch."""

BatchResult = tuple[list[SearchCall], list[FoundPassage]]


@dataclass(frozen=True, slots=True)
class _PendingLookup:
    """Requests and passage ids of one coroutine."""

    requests: Sequence[SearchRequest]
    k: int
    passage_ids: Sequence[str]
    future: asyncio.Future[BatchResult]


class BatchedSearch:
    """An AsyncSearchEngine over an engine that coroutines of one event loop share."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self._pending: deque[_PendingLookup] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        """That of the engine."""
        return self._engine.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""
        calls, _ = await self._enqueue(requests, k, ())
        return calls

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages by id, in order. Raises SearchError for an unknown one."""
        _, passages = await self._enqueue((), 0, passage_ids)
        return passages

    async def close(self) -> None:
        """Wait for the running batch."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _enqueue(self, requests: Sequence[SearchRequest], k: int, passage_ids: Sequence[str]) -> BatchResult:
        future: asyncio.Future[BatchResult] = asyncio.get_running_loop().create_future()
        self._pending.append(_PendingLookup(requests, k, passage_ids, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._pending:
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), MAX_BATCH))]
                await self._run(batch)
        finally:
            self._task = None

    async def _run(self, batch: Sequence[_PendingLookup]) -> None:
        try:
            calls, passages = await asyncio.to_thread(self._look_up, batch)
        except Exception as error:  # of any kind: the coroutines of the batch raise it
            for lookup in batch:
                if not lookup.future.done():
                    lookup.future.set_exception(error)
            return
        next_calls, next_passages = iter(calls), iter(passages)
        for lookup in batch:
            own = list(islice(next_calls, len(lookup.requests))), list(islice(next_passages, len(lookup.passage_ids)))
            if not lookup.future.done():
                lookup.future.set_result(own)

    def _look_up(self, batch: Sequence[_PendingLookup]) -> BatchResult:
        calls: list[SearchCall] = []
        for k, lookups in groupby(batch, key=lambda lookup: lookup.k):
            calls += self._engine.search([request for lookup in lookups for request in lookup.requests], k)
        return calls, self._engine.read([passage_id for lookup in batch for passage_id in lookup.passage_ids])
