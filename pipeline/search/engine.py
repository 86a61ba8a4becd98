"""Search engines: their protocols, requests and results.

Guarantees of every engine: a batch of requests gives as many calls, in the same order, each with its own status; bad
queries and failing backends become statuses, never exceptions; equal scores come in a fixed order; the result of a
request does not depend on the rest of its batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.trajectories import HideMode, Hit, SearchCall, SearchStatus

MAX_QUERY_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One query, and the source of its task, which is hidden from the results."""

    query: str
    hide: HideMode = HideMode.NONE
    passage_id: str = ""
    """Source passage; hidden in modes `passage` and `page`."""
    page_id: int | None = None
    """Source page; hidden in mode `page`."""
    title: str = ""
    """Title of the source page: identifies it where page ids mean nothing, such as on the web."""
    text: str = ""
    """Text of the source passage, gold included: only for recognising copies of it."""
    question: str = ""
    """Masked text: only for simulated engines."""
    answers: tuple[str, ...] = ()
    """Gold answers: only for simulated engines."""
    progress: float | None = None
    """Progress of the training, 0 to 1: only for simulated engines, whose curriculum depends on it."""


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage as an engine reads it back."""

    passage_id: str
    title: str
    """Title of its page."""
    text: str
    anchors: tuple[tuple[int, int], ...] = ()
    """Start and end of the wikilinks in the text; empty where the engine does not have them."""
    page_id: int | None = None
    """Its page; None where the engine does not know it."""
    section: tuple[str, ...] = ()
    """Headings above it, outermost first."""


class SearchEngine(Protocol):
    """Finds passages for queries, and reads them back by id."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and its corpus: results of two fingerprints are not comparable."""

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages that were hits, in the given order. Raises SearchError for an unknown id."""


class AsyncSearchEngine(Protocol):
    """An asynchronous SearchEngine: a server, the web, a language model. It reads back its own hits, of this process or
    an earlier one of the same run."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and the identity of its corpus as far as known."""

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages that were hits, in the given order. Raises SearchError for an unknown id."""

    async def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Result of one request: the call, and the passage of each hit in order."""

    call: SearchCall
    passages: tuple[FoundPassage, ...] = ()


class PassageSource(Protocol):
    """A stateless source of passages, whose answers include the texts: a server, the web, a language model.
    `CachedSearch` makes an AsyncSearchEngine of it. Statuses and order are as of every engine."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and the identity of its corpus as far as known."""

    @property
    def hides(self) -> bool:
        """Whether it hides the sources of a request by itself."""

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The parts of a request that decide the answer, besides k: the cache key."""

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request with at most k passages, best first."""

    async def close(self) -> None:
        """Close connections."""


def check_query(request: SearchRequest, k: int) -> tuple[str, SearchCall | None]:
    """The query as valid text, and the call that refuses it where it cannot be searched for."""
    query = request.query.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be encoded
    if k < 1:
        return query, fail_call(query[:MAX_QUERY_CHARS], f"k is {k}, must be at least 1")
    if len(query) > MAX_QUERY_CHARS:
        reason = f"query of {len(query)} characters, at most {MAX_QUERY_CHARS}"
        return query, fail_call(query[:MAX_QUERY_CHARS], reason)
    return query, None


def make_call(query: str, hits: tuple[Hit, ...]) -> SearchCall:
    """The call of an answered query."""
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    return SearchCall(query=query, status=status, hits=hits, detail=None)


def fail_call(query: str, detail: str, status: SearchStatus = SearchStatus.ERROR) -> SearchCall:
    """The call of a failed query."""
    return SearchCall(query=query, status=status, hits=(), detail=detail)


def merge_round_robin(hit_lists: Iterable[Sequence[Hit]], k: int) -> list[Hit]:
    """The first hit of every list, then the second of every list, and so on, without duplicates, k at most."""
    lists = [list(hits) for hits in hit_lists]
    merged: dict[str, Hit] = {}
    for rank in range(max(map(len, lists), default=0)):
        for hits in lists:
            if len(merged) >= k:
                return list(merged.values())
            if rank < len(hits):
                merged.setdefault(hits[rank].passage_id, hits[rank])
    return list(merged.values())[: max(k, 0)]
