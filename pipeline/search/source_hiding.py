"""Withholds the source of a task, and near-copies of it, from what any engine finds.

An engine that hides by itself keeps doing so; of one that cannot - a foreign server, the web - more is asked for than
is needed and the source is taken out: by passage id, by text, and for a page by its title. Near-copies are taken out
of either by the share of the source's word triples that stand in them.

Promises: nothing that is to be hidden is among the hits; as many hits come as the engine has, up to k.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipeline.search.engine import AsyncSearchEngine, FoundPassage, SearchRequest
from pipeline.text.near_copies import WORD, cut_triples, is_copy
from schemas.trajectories import HideMode, Hit, SearchCall, SearchStatus

SAME_TEXT = 0.6
"""Share of the shorter text's word triples from which on two texts are pieces of one passage."""
SPARE = 5
"""Hits asked for beyond k at first."""
MOST = 400
"""Hits asked for at most."""
SITE = re.compile(r"\s+[-–—|·]\s+.*$")
"""What web pages put behind a title: ` - Wikipedia`."""


class SourceHidingSearch:
    """An AsyncSearchEngine over another."""

    def __init__(self, engine: AsyncSearchEngine, hides: bool, copies: float | None) -> None:
        """`hides`: whether the engine hides the source by itself; `copies`: share of the source's word triples from
        which on a passage is a copy of it; None: copies stay."""
        self._engine = engine
        self._hides = hides
        self._copies = copies

    @property
    def fingerprint(self) -> str:
        """That of the engine: what is withheld is part of a trajectory's own settings."""
        return self._engine.fingerprint

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request, what is to be hidden left out."""
        plain = [i for i, request in enumerate(requests) if not self._has_work(request)]
        calls: dict[int, SearchCall] = {}
        if plain:
            calls = dict(zip(plain, await self._engine.search([requests[i] for i in plain], k), strict=True))
        owed, wanted = [i for i in range(len(requests)) if i not in calls], k + SPARE
        while owed:
            found = await self._engine.search([self._open(requests[i]) for i in owed], wanted)
            short: list[int] = []
            for i, call in zip(owed, found, strict=True):
                hits = await self._withhold(requests[i], call.hits)
                if len(hits) < k and len(call.hits) >= wanted and wanted < MOST:
                    short.append(i)
                calls[i] = _cut(call, hits, k)
            owed, wanted = short, min(2 * wanted, MOST)
        return [calls[i] for i in range(len(requests))]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Passages that were hits, in the order asked. Raises SearchError for an unknown id."""
        return await self._engine.read(passage_ids)

    async def close(self) -> None:
        """Close the engine."""
        await self._engine.close()

    def _has_work(self, request: SearchRequest) -> bool:
        return request.hide is not HideMode.NONE and not (self._hides and self._copies is None)

    def _open(self, request: SearchRequest) -> SearchRequest:
        """The request as the engine is to see it."""
        return request if self._hides else replace(request, hide=HideMode.NONE)

    async def _withhold(self, request: SearchRequest, hits: Sequence[Hit]) -> list[Hit]:
        passages = await self._engine.read([hit.passage_id for hit in hits])
        return [hit for hit, passage in zip(hits, passages, strict=True) if not self._is_hidden(request, passage)]

    def _is_hidden(self, request: SearchRequest, passage: FoundPassage) -> bool:
        if self._copies is not None and is_copy(passage.text, request.text, self._copies):
            return True
        return not self._hides and is_source(passage, request)


def is_source(passage: FoundPassage, request: SearchRequest) -> bool:
    """Whether a passage is, or belongs to, what a request hides, as far as ids, titles and texts can tell."""
    if request.hide is HideMode.NONE:
        return False
    if passage.passage_id == request.passage_id:
        return True
    if request.hide is HideMode.PAGE and request.title and _fold_title(passage.title) == _fold_title(request.title):
        return True
    found, source = cut_triples(passage.text), cut_triples(request.text)
    shorter = min(len(found), len(source))
    return bool(shorter) and len(found & source) >= SAME_TEXT * shorter


def _fold_title(title: str) -> str:
    return " ".join(WORD.findall(SITE.sub("", title).casefold()))


def _cut(call: SearchCall, hits: Sequence[Hit], k: int) -> SearchCall:
    if call.status is not SearchStatus.OK:
        return call
    status = SearchStatus.OK if hits else SearchStatus.EMPTY
    return SearchCall(query=call.query, status=status, hits=tuple(hits[:k]), detail=None)
