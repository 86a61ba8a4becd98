"""Hiding of the source of a task, and of near-copies of it, from the hits of any engine.

Some engines hide sources themselves; of others - a foreign server, the web - more hits are requested and the source is
removed: by passage id, by text, and for a page by its title. Near-copies are removed from the hits of both.

Guarantees: no hidden passage is among the hits; there are as many hits as the engine has, up to k.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.search.engine import AsyncSearchEngine, FoundPassage, SearchRequest, make_call
from pipeline.text.near_copies import WORD, cut_triples, is_copy
from schemas.trajectories import HideMode, Hit, SearchCall, SearchStatus

SAME_TEXT = 0.6
"""Share of the shorter text's word triples from which on two texts are parts of one passage."""
SPARE = 5
"""Hits requested beyond k at first."""
MAX_HITS = 400
"""Hits requested at most."""
SITE = re.compile(r"\s+[-–—|·]\s+.*$")
"""Suffix of the titles of web pages: ` - Wikipedia`."""


class SourceHidingSearch:
    """An AsyncSearchEngine over another."""

    def __init__(self, engine: AsyncSearchEngine, hides: bool, copies: bool) -> None:
        """`hides`: whether the engine hides the source by itself; `copies`: whether near-copies are hidden too."""
        self._engine = engine
        self._hides = hides
        self._copies = copies

    @property
    def fingerprint(self) -> str:
        """That of the engine: hiding is part of a trajectory's own settings."""
        return self._engine.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request, without the hidden passages."""
        plain = [i for i, request in enumerate(requests) if not self._needs_filter(request)]
        calls: dict[int, SearchCall] = {}
        if plain:
            calls = dict(zip(plain, await self._engine.search([requests[i] for i in plain], k), strict=True))
        pending, depth = [i for i in range(len(requests)) if i not in calls], k + SPARE
        while pending:
            unfiltered = await self._engine.search([self._prepare(requests[i]) for i in pending], depth)
            short: list[int] = []
            for i, call in zip(pending, unfiltered, strict=True):
                hits = await self._filter(requests[i], call.hits)
                if len(hits) < k and len(call.hits) >= depth and depth < MAX_HITS:
                    short.append(i)
                calls[i] = make_call(call.query, tuple(hits[:k])) if call.status is SearchStatus.OK else call
            pending, depth = short, min(2 * depth, MAX_HITS)
        return [calls[i] for i in range(len(requests))]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages that were hits, in the given order. Raises SearchError for an unknown id."""
        return await self._engine.read(passage_ids)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def _needs_filter(self, request: SearchRequest) -> bool:
        return request.hide is not HideMode.NONE and not (self._hides and not self._copies)

    def _prepare(self, request: SearchRequest) -> SearchRequest:
        """The request to the engine."""
        return request if self._hides else replace(request, hide=HideMode.NONE)

    async def _filter(self, request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
        passages = await self._engine.read([hit.passage_id for hit in hits])
        return [hit for hit, passage in zip(hits, passages, strict=True) if not self._is_hidden(request, passage)]

    def _is_hidden(self, request: SearchRequest, passage: FoundPassage) -> bool:
        if self._copies and is_copy(passage.text, request.text):
            return True
        return not self._hides and is_source(passage, request)


def is_source(passage: FoundPassage, request: SearchRequest) -> bool:
    """Whether a request hides a passage, judged by ids, titles and texts."""
    if request.hide is HideMode.NONE:
        return False
    if passage.passage_id == request.passage_id:
        return True
    if request.hide is HideMode.PAGE and request.title and _fold_title(passage.title) == _fold_title(request.title):
        return True
    triples, source = cut_triples(passage.text), cut_triples(request.text)
    shorter = min(len(triples), len(source))
    return bool(shorter) and len(triples & source) >= SAME_TEXT * shorter


def _fold_title(title: str) -> str:
    return " ".join(WORD.findall(SITE.sub("", title).casefold()))
