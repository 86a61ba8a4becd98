"""Remembers what sources of passages found: makes engines of them that read back, and keeps their answers for good.

Promises: an answer is kept under everything that decides it - the engine's fingerprint, k and what the source names of
the request - with the date; a failed call is never kept; several processes may share one file, and a kill costs no
answer that was handed over; equal requests at the same time are one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import SearchError
from pipeline.search.engine import Answer, FoundPassage, PassageSource, SearchRequest, fail_call
from pipeline.storage.jsonl import SharedJsonlLog
from schemas.record import content_id
from schemas.trajectories import Hit, SearchCall, SearchStatus

KEPT = (SearchStatus.OK, SearchStatus.EMPTY)
REMEMBERED = 50_000
"""Passages held in memory where there is no file: enough for everything under way, at some 50 MB."""


class SearchCache:
    """Answers and passages in a file that only grows."""

    def __init__(self, path: Path, today: Callable[[], str]) -> None:
        """`today`: the date, as it is to be written. Raises StorageError where nothing can be written."""
        self._log = SharedJsonlLog(path)
        self._today = today

    def find(self, key: str) -> Answer | None:
        """The answer kept under a key."""
        line = self._log.find(key)
        if line is None:
            return None
        hits = tuple(Hit.model_validate(hit) for hit in line["hits"])
        status = SearchStatus.OK if hits else SearchStatus.EMPTY
        call = SearchCall(query=line["query"], status=status, hits=hits, detail=None)
        return Answer(call, tuple(self.read(hit.passage_id for hit in hits)))

    def keep(self, key: str, answer: Answer) -> None:
        """Keep an answer, its passages before it."""
        lines: dict[str, dict[str, Any]] = {
            _key_passage(p.passage_id): {"title": p.title, "text": p.text, "anchors": p.anchors}
            for p in answer.passages
        }
        hits = [hit.model_dump(mode="json", exclude_none=True) for hit in answer.call.hits]
        lines[key] = {"date": self._today(), "query": answer.call.query, "hits": hits}
        self._log.append(lines)

    def read(self, passage_ids: Iterable[str]) -> list[FoundPassage]:
        """Passages that were kept, in the order asked. Raises SearchError for one that was not."""
        return [self._require(passage_id) for passage_id in passage_ids]

    def find_passage(self, passage_id: str) -> FoundPassage | None:
        """A passage that was kept; None for one that was not."""
        line = self._log.find(_key_passage(passage_id))
        if line is None:
            return None
        return FoundPassage(passage_id, line["title"], line["text"], tuple((a, b) for a, b in line["anchors"]))

    def _require(self, passage_id: str) -> FoundPassage:
        passage = self.find_passage(passage_id)
        if passage is None:
            raise SearchError(f"passage {passage_id} was never found by this engine", "do the stage again: --redo")
        return passage

    def close(self) -> None:
        """Give the file back."""
        self._log.close()


class CachedSearch:
    """An AsyncSearchEngine over a source: with a cache what was found is found again without asking, and for good."""

    def __init__(self, source: PassageSource, cache: SearchCache | None = None, least: int = 1) -> None:
        """`least`: hits asked for at least, so that one paid call answers every smaller k."""
        self._source = source
        self._cache = cache
        self._least = least
        self._recent: OrderedDict[str, FoundPassage] = OrderedDict()
        self._under_way: dict[str, asyncio.Future[Answer]] = {}
        self.repeated = 0
        """Requests answered without asking."""

    @property
    def fingerprint(self) -> str:
        """That of the source."""
        return self._source.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request: from the cache, together with an equal one under way, or from the source."""
        depth = max(k, self._least) if k >= 1 else k
        keys = [self._key(request, depth) for request in requests]
        known: dict[str, Answer] = {}
        owed: dict[str, SearchRequest] = {}
        waiting: dict[str, asyncio.Future[Answer]] = {}
        for key, request in zip(keys, requests, strict=True):
            if key in known or key in owed or key in waiting:
                continue
            if key in self._under_way:
                waiting[key] = self._under_way[key]
            elif (kept := self._cache.find(key) if self._cache else None) is not None:
                known[key] = kept
            else:
                owed[key] = request
        self.repeated += len(requests) - len(owed)
        known |= await self._ask(owed, depth) if owed else {}
        for key, future in waiting.items():
            known[key] = await asyncio.shield(future)
        calls = [known[key].call for key in keys]
        return [call.model_copy(update={"hits": call.hits[:k]}) if len(call.hits) > k else call for call in calls]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages that were hits, in the order asked. Raises SearchError for one that was not."""
        unknown = [passage_id for passage_id in passage_ids if passage_id not in self._recent]
        if unknown and self._cache is None:
            raise SearchError(f"passage {unknown[0]} is no longer remembered", "set search_service.cache=true")
        kept = {passage.passage_id: passage for passage in self._cache.read(unknown)} if self._cache else {}
        return [kept.get(passage_id) or self._recent[passage_id] for passage_id in passage_ids]

    async def close(self) -> None:
        """Close the source and the cache."""
        await self._source.close()
        if self._cache is not None:
            self._cache.close()

    async def _ask(self, owed: dict[str, SearchRequest], k: int) -> dict[str, Answer]:
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[Answer]] = {key: loop.create_future() for key in owed}
        self._under_way |= futures
        answers: dict[str, Answer] = {}
        fault: Exception | None = None
        try:
            found = await self._source.find(list(owed.values()), k)
            answers = dict(zip(owed, found, strict=True))
            for key, answer in answers.items():
                self._remember(key, answer)
        except Exception as error:
            fault = error
            raise
        finally:
            for key, future in futures.items():
                del self._under_way[key]
                if not future.done() and fault is not None:
                    future.set_exception(fault)  # what ends the run ends it for all who share the request
                    future.exception()
                elif not future.done():
                    # Those who share a request that was called off hear of it as a failure, which is never kept.
                    lost = Answer(fail_call(owed[key].query, "the request was called off"))
                    future.set_result(answers.get(key, lost))
        return answers

    def _remember(self, key: str, answer: Answer) -> None:
        if self._cache is not None and answer.call.status in KEPT:
            self._cache.keep(key, answer)
            return
        for passage in answer.passages:
            self._recent[passage.passage_id] = passage
            self._recent.move_to_end(passage.passage_id)
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def _key(self, request: SearchRequest, k: int) -> str:
        return content_id(self.fingerprint, k, self._source.identify(request))


def _key_passage(passage_id: str) -> str:
    return f"passage {passage_id}"
