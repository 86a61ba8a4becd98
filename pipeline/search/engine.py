"""What a search engine owes to whoever searches.

Promises of every engine: a batch of requests gives as many calls, in the same order, each with its own status; bad
queries and failing backends become statuses, never exceptions; equal scores come in a fixed order; the result of a
request does not depend on what else was in the batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.trajectories import HideMode, Hit, SearchCall, SearchStatus


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One query, and what of a task's source must not come back for it."""

    query: str
    """The query as written."""
    hide: HideMode = HideMode.NONE
    """What of the source is withheld."""
    passage_id: str = ""
    """The source passage; withheld in modes `passage` and `page`."""
    page_id: int | None = None
    """The source page; withheld in mode `page`."""
    title: str = ""
    """Title of the source page: tells it apart where page numbers mean nothing, such as on the web."""
    text: str = ""
    """Text of the source passage, gold included: only for telling copies of it apart."""
    question: str = ""
    """What is to be found out: only for an engine that makes its documents up."""
    answers: tuple[str, ...] = ()
    """The gold answers: only for an engine that makes its documents up."""
    progress: float | None = None
    """How far a training is, 0 to 1: only for an engine that makes its documents up, whose curriculum it moves."""


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage as an engine reads it back."""

    passage_id: str
    """The passage."""
    title: str
    """Title of its page."""
    text: str
    """Its text."""
    anchors: tuple[tuple[int, int], ...] = ()
    """Start and end of the wikilinks inside the text; empty when the engine does not know them."""


class SearchEngine(Protocol):
    """Finds passages for queries, and reads them back by id."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and its corpus: results of two fingerprints are not comparable."""
        ...

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""
        ...

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages that were hits, in the order asked. Raises SearchError for an unknown id."""
        ...


class AsyncSearchEngine(Protocol):
    """A search engine that is waited for: a server, the web, a language model. It owes what a SearchEngine owes, and
    reads back what it found itself, in this process or an earlier one of the same run."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and what is known of its corpus."""
        ...

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with at most k hits, best first."""
        ...

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages that were hits, in the order asked. Raises SearchError for an unknown id."""
        ...

    async def close(self) -> None:
        """End what is under way and let connections go."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """How the search of one request ended, with the texts of its hits."""

    call: SearchCall
    """Status and hits."""
    passages: tuple[FoundPassage, ...] = ()
    """The text of each hit, in the order of the hits."""


class PassageSource(Protocol):
    """What hands the texts over with the hits and keeps neither: a server, the web, a language model. `CachedSearch`
    makes an AsyncSearchEngine of it. It owes statuses and order as every engine does, and need not hide anything."""

    @property
    def fingerprint(self) -> str:
        """Hash of the kind of engine, its settings and what is known of its corpus."""
        ...

    @property
    def hides(self) -> bool:
        """Whether it hides the sources of a request by itself."""
        ...

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """What of a request, besides k, decides the answer: two that agree in it are one."""
        ...

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request with at most k passages, best first."""
        ...

    async def close(self) -> None:
        """End what is under way and let connections go."""
        ...


def fail_call(query: str, detail: str, status: SearchStatus = SearchStatus.ERROR) -> SearchCall:
    """A call that brought nothing because it failed."""
    return SearchCall(query=query, status=status, hits=(), detail=detail)


def merge_round_robin(hit_lists: Iterable[Sequence[Hit]], k: int) -> list[Hit]:
    """Take the first hit of every list, then the second of every list, and so on, no passage twice, k at most."""
    lists = [list(hits) for hits in hit_lists]
    merged: dict[str, Hit] = {}
    for rank in range(max(map(len, lists), default=0)):
        for hits in lists:
            if len(merged) >= k:
                return list(merged.values())
            if rank < len(hits):
                merged.setdefault(hits[rank].passage_id, hits[rank])
    return list(merged.values())[: max(k, 0)]
