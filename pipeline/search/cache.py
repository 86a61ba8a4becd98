"""Cache of search answers: makes engines, which can read passages back, of sources of passages.

Guarantees: an answer is stored under everything that decides it - the engine's fingerprint, k and the identity of the
request - with the date; a failed call is never stored; several processes may share one file, and a kill loses no answer
that was returned; concurrent equal requests are sent once.
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

CACHEABLE = (SearchStatus.OK, SearchStatus.EMPTY)
RECENT = 50_000
"""Passages held in memory without a cache: enough for all searches in progress, some 50 MB."""


class SearchCache:
    """Answers and passages in an append-only file."""

    def __init__(self, path: Path, today: Callable[[], str]) -> None:
        """`today`: the date as text. Raises StorageError where nothing can be written."""
        self._log = SharedJsonlLog(path)
        self._today = today

    def find(self, key: str) -> Answer | None:
        """The answer of a key, if cached."""
        line = self._log.find(key)
        if line is None:
            return None
        hits = tuple(Hit.model_validate(hit) for hit in line["hits"])
        status = SearchStatus.OK if hits else SearchStatus.EMPTY
        call = SearchCall(query=line["query"], status=status, hits=hits, detail=None)
        return Answer(call, tuple(self.read(hit.passage_id for hit in hits)))

    def store(self, key: str, answer: Answer) -> None:
        """Store an answer, after its passages."""
        lines: dict[str, dict[str, Any]] = {
            _key_passage(p.passage_id): {"title": p.title, "text": p.text, "anchors": p.anchors}
            for p in answer.passages
        }
        hits = [hit.model_dump(mode="json", exclude_none=True) for hit in answer.call.hits]
        lines[key] = {"date": self._today(), "query": answer.call.query, "hits": hits}
        self._log.append(lines)

    def read(self, passage_ids: Iterable[str]) -> list[FoundPassage]:
        """Cached passages, in the given order. Raises SearchError for an unknown one."""
        return [self._require(passage_id) for passage_id in passage_ids]

    def find_passage(self, passage_id: str) -> FoundPassage | None:
        """A passage, if cached."""
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
        """Close the file."""
        self._log.close()


class CachedSearch:
    """An AsyncSearchEngine over a source, with a permanent cache or none."""

    def __init__(self, source: PassageSource, cache: SearchCache | None = None, min_hits: int = 1) -> None:
        """`min_hits`: hits requested at least, so that one paid call answers every smaller k."""
        self._source = source
        self._cache = cache
        self._min_hits = min_hits
        self._recent: OrderedDict[str, FoundPassage] = OrderedDict()
        self._running: dict[str, asyncio.Future[Answer]] = {}
        self.saved = 0
        """Requests answered without a call of the source."""

    @property
    def fingerprint(self) -> str:
        """That of the source."""
        return self._source.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request: from the cache, with an equal running one, or from the source."""
        depth = max(k, self._min_hits) if k >= 1 else k
        keys = [self._key(request, depth) for request in requests]
        answers: dict[str, Answer] = {}
        missing: dict[str, SearchRequest] = {}
        shared: dict[str, asyncio.Future[Answer]] = {}
        for key, request in zip(keys, requests, strict=True):
            if key in answers or key in missing or key in shared:
                continue
            if key in self._running:
                shared[key] = self._running[key]
            elif (cached := self._cache.find(key) if self._cache else None) is not None:
                answers[key] = cached
            else:
                missing[key] = request
        self.saved += len(requests) - len(missing)
        answers |= await self._request(missing, depth) if missing else {}
        for key, future in shared.items():
            answers[key] = await asyncio.shield(future)
        calls = [answers[key].call for key in keys]
        return [call.model_copy(update={"hits": call.hits[:k]}) if len(call.hits) > k else call for call in calls]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages that were hits, in the given order. Raises SearchError for an unknown one."""
        unknown = [passage_id for passage_id in passage_ids if passage_id not in self._recent]
        if unknown and self._cache is None:
            raise SearchError(f"passage {unknown[0]} is no longer in memory", "set search_service.cache=true")
        cached = {passage.passage_id: passage for passage in self._cache.read(unknown)} if self._cache else {}
        return [cached.get(passage_id) or self._recent[passage_id] for passage_id in passage_ids]

    async def close(self) -> None:
        """Close the source and the cache."""
        await self._source.close()
        if self._cache is not None:
            self._cache.close()

    async def _request(self, missing: dict[str, SearchRequest], k: int) -> dict[str, Answer]:
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[Answer]] = {key: loop.create_future() for key in missing}
        self._running |= futures
        answers: dict[str, Answer] = {}
        failure: Exception | None = None
        try:
            answers = dict(zip(missing, await self._source.find(list(missing.values()), k), strict=True))
            for key, answer in answers.items():
                self._store(key, answer)
        except Exception as error:
            failure = error
            raise
        finally:
            for key, future in futures.items():
                del self._running[key]
                if not future.done() and failure is not None:
                    future.set_exception(failure)  # an error that ends the run ends all searches of the request
                    future.exception()
                elif not future.done():
                    # For the other searches a cancelled request is a failed call, which is never stored.
                    cancelled = Answer(fail_call(missing[key].query, "the request was cancelled"))
                    future.set_result(answers.get(key, cancelled))
        return answers

    def _store(self, key: str, answer: Answer) -> None:
        if self._cache is not None and answer.call.status in CACHEABLE:
            self._cache.store(key, answer)
            return
        for passage in answer.passages:
            self._recent[passage.passage_id] = passage
            self._recent.move_to_end(passage.passage_id)
        while len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def _key(self, request: SearchRequest, k: int) -> str:
        return content_id(self.fingerprint, k, self._source.identify(request))


def _key_passage(passage_id: str) -> str:
    return f"passage {passage_id}"
