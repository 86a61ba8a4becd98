"""A search function of the user as a source of passages.

Guarantees: a function that raises, or returns something else than hits, gives a call with status `error`, never an
empty result. A plain function is called from one thread at a time; a coroutine function several times at once, at most
`search_service.in_flight`, each call within `search_service.deadline`. Nothing is hidden here: `SourceHidingSearch`
does that.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigError
from pipeline.search.engine import Answer, FoundPassage, SearchRequest, check_query, fail_call, make_call
from schemas.record import content_id
from schemas.search_config import SearchServiceConfig
from schemas.trajectories import Hit, SearchStatus

DETAIL_CHARS = 200


class CustomSource:
    """A PassageSource over a function. Used inside one event loop at a time."""

    hides = False

    def __init__(self, opened: object, identity: str, service: SearchServiceConfig) -> None:
        """`opened`: the search function, called as `search(query, k)`. It returns at most k hits, best first, each a
        mapping with `title`, `text` and optionally `id` and `score`; its attribute `fingerprint`, if any, identifies
        what it searches. `identity`: name and digest of the function that opened it.

        Raises ConfigError when the search function cannot be called."""
        if not callable(opened):
            raise ConfigError(
                f"search.function: {identity.partition(' ')[0]} returned {type(opened).__name__}, not a function",
                "return a function search(query, k)",
            )
        self._search: Callable[[str, int], Any] = opened
        self._is_async = inspect.iscoroutinefunction(opened) or inspect.iscoroutinefunction(type(opened).__call__)
        self._fingerprint = content_id("custom", identity, str(getattr(opened, "fingerprint", "")))
        self._deadline = service.deadline
        self._slots = asyncio.Semaphore(service.in_flight if self._is_async else 1)

    @property
    def fingerprint(self) -> str:
        """Hash of the function's name, of the source of its module, and of what it says it searches."""
        return self._fingerprint

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query."""
        return [request.query]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request; a blank query has no results."""
        return list(await asyncio.gather(*(self._find_one(request, k) for request in requests)))

    async def close(self) -> None:
        """Nothing is held open here."""

    async def _find_one(self, request: SearchRequest, k: int) -> Answer:
        query, refused = check_query(request, k)
        if refused is not None or not query.strip():
            return Answer(refused or make_call(query, ()))
        try:
            async with self._slots:
                found = await self._call(query, k)
            return _read(query, found[:k])
        except TimeoutError:
            return Answer(fail_call(query, "no answer in time", SearchStatus.TIMEOUT))
        except Exception as error:  # whatever the user's function raises, or its hits lack
            return Answer(fail_call(query, f"{type(error).__name__}: {error}"[:DETAIL_CHARS]))

    async def _call(self, query: str, k: int) -> Any:
        if not self._is_async:
            return await asyncio.to_thread(self._search, query, k)
        async with asyncio.timeout(self._deadline):
            return await self._search(query, k)


def _read(query: str, found: Sequence[Mapping[str, Any]]) -> Answer:
    passages: dict[str, FoundPassage] = {}
    scores: dict[str, float] = {}
    for rank, hit in enumerate(found, start=1):
        title, text = hit["title"], hit["text"]
        if not isinstance(title, str) or not isinstance(text, str):
            raise TypeError("title and text of a hit must be strings")
        passage_id = str(hit.get("id") or content_id("custom", title, text))
        if passage_id not in passages:
            passages[passage_id] = FoundPassage(passage_id, title, text)
            scores[passage_id] = float(hit.get("score", 1 / rank))
    hits = tuple(Hit(passage_id=passage_id, score=score) for passage_id, score in scores.items())
    return Answer(make_call(query, hits), tuple(passages.values()))
