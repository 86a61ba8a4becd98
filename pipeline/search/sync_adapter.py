"""Synchronous adapter of an asynchronous engine: its event loop runs in a thread."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from pipeline.search.engine import AsyncSearchEngine, FoundPassage, SearchRequest
from schemas.trajectories import SearchCall

T = TypeVar("T")


class SyncSearch:
    """A SearchEngine over an AsyncSearchEngine. Called from one thread at a time."""

    def __init__(self, engine: AsyncSearchEngine) -> None:
        self._engine = engine
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="search", daemon=True)
        thread.start()
        self._closing = weakref.finalize(self, _close, engine, self._loop, thread)

    @property
    def fingerprint(self) -> str:
        """That of the engine."""
        return self._engine.fingerprint

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""
        return self._wait_for(self._engine.search(requests, k))

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages that were hits, in the given order. Raises SearchError for an unknown id."""
        return self._wait_for(self._engine.read(passage_ids))

    def close(self) -> None:
        """Close the engine and end the thread; also done when this is collected, and at exit."""
        self._closing()

    def _wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _close(engine: AsyncSearchEngine, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    asyncio.run_coroutine_threadsafe(engine.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
