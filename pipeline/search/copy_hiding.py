"""Hiding of near-copies of a source from the hits of an engine that hides the source itself.

Guarantees: no near-copy is among the hits; there are as many hits as the engine has, up to k, unless the copies leave
fewer among its first `MAX_HITS`; one search takes a bounded time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from pipeline.search.engine import FoundPassage, SearchEngine, SearchRequest, make_call
from pipeline.search.source_hiding import MAX_HITS, SPARE
from pipeline.text.near_copies import is_copy
from schemas.trajectories import Hit, SearchCall

KNOWN_SOURCES = 1 << 12
"""Texts of sources in memory."""


class CopyHidingEngine:
    """A SearchEngine over another, which has the sources among its passages."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self.read_source = lru_cache(maxsize=KNOWN_SOURCES)(self._read_text)
        """The text of a source by its passage id. Raises SearchError for an unknown one."""

    @property
    def fingerprint(self) -> str:
        """That of the engine."""
        return self._engine.fingerprint

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request, without near-copies of its source. Raises SearchError for an unknown one."""
        calls: dict[int, SearchCall] = {}
        pending, depth = list(range(len(requests))), k + SPARE if k > 0 else k
        while pending:
            found = self._engine.search([requests[i] for i in pending], depth)
            short: list[int] = []
            for i, call in zip(pending, found, strict=True):
                hits = self._drop_copies(requests[i], call.hits, k)
                calls[i] = make_call(call.query, tuple(hits)) if call.hits else call
                if len(hits) < k and depth <= len(call.hits) < MAX_HITS:
                    short.append(i)
            pending, depth = short, min(2 * depth, MAX_HITS)
        return [calls[i] for i in range(len(requests))]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self._engine.read(passage_ids)

    def _drop_copies(self, request: SearchRequest, hits: Sequence[Hit], k: int) -> list[Hit]:
        """The k best hits, without near-copies of the source."""
        source = self.read_source(request.passage_id)
        kept: list[Hit] = []
        for hit in hits:
            if len(kept) == k:
                break
            if not is_copy(self._engine.read([hit.passage_id])[0].text, source):
                kept.append(hit)
        return kept

    def _read_text(self, passage_id: str) -> str:
        (source,) = self._engine.read([passage_id])
        return source.text
