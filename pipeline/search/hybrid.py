"""Hybrid retrieval: BM25 and vectors by reciprocal rank fusion (Cormack, Clarke and Buettcher 2009), then a reranker
if configured.

Guarantees: a call is answered only when both engines answered it, so that no row depends on which of them worked; equal
scores are ordered by the rank in BM25's list, then in the other; hidden sources are hidden in both.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.search.engine import FoundPassage, SearchEngine, SearchRequest, make_call
from pipeline.search.index.passage_store import join_title
from pipeline.search.reranker import Reranker
from schemas.record import content_id
from schemas.search_config import HybridConfig
from schemas.trajectories import Hit, SearchCall, SearchStatus

DIGITS = 5


class HybridEngine:
    """A SearchEngine over two engines with the same passages."""

    def __init__(
        self, sparse: SearchEngine, dense: SearchEngine, config: HybridConfig, reranker: Reranker | None = None
    ) -> None:
        """`sparse`: BM25; `reranker`: the one that `config` names, if any."""
        self._sparse = sparse
        self._dense = dense
        self._config = config
        self._reranker = reranker

    @property
    def fingerprint(self) -> str:
        """Hash of both engines and of how they are fused."""
        settings = self._config.model_dump(mode="json", exclude=None if self._reranker else {"rerank_depth"})
        reranker = self._reranker.identity if self._reranker else None
        return content_id("hybrid", settings, reranker, self._sparse.fingerprint, self._dense.fingerprint)

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request with the fused hits; a call fails when it fails in one engine."""
        depth = max(k, self._config.depth) if k > 0 else k
        pairs = zip(self._sparse.search(requests, depth), self._dense.search(requests, depth), strict=True)
        return [self._fuse(sparse, dense, k) for sparse, dense in pairs]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self._sparse.read(passage_ids)

    def _fuse(self, sparse: SearchCall, dense: SearchCall, k: int) -> SearchCall:
        for call in (sparse, dense):
            if call.status not in (SearchStatus.OK, SearchStatus.EMPTY):
                return call.model_copy(update={"hits": ()})
        hits = fuse_ranks([(1.0, sparse.hits), (self._config.dense_weight, dense.hits)], self._config.constant)
        if self._reranker is not None:
            hits = self._rerank(sparse.query, hits[: max(k, self._config.rerank_depth)], self._reranker)
        return make_call(sparse.query, tuple(hits[:k]))

    def _rerank(self, query: str, hits: Sequence[Hit], reranker: Reranker) -> list[Hit]:
        passages = self.read([hit.passage_id for hit in hits])
        scores = reranker.score(query, [join_title(passage.title, passage.text) for passage in passages])
        scored = [
            Hit(passage_id=hit.passage_id, score=round(score, DIGITS)) for hit, score in zip(hits, scores, strict=True)
        ]
        return sorted(scored, key=lambda hit: -(hit.score or 0.0))


def fuse_ranks(lists: Sequence[tuple[float, Sequence[Hit]]], constant: float) -> list[Hit]:
    """Every hit of the weighted lists, best first: rank r of a list of weight w adds w / (constant + r)."""
    scores: dict[str, float] = {}
    for weight, hits in lists:
        if weight == 0:
            continue
        for rank, hit in enumerate(hits, start=1):
            scores[hit.passage_id] = scores.get(hit.passage_id, 0.0) + weight / (constant + rank)
    return [Hit(passage_id=name, score=score) for name, score in sorted(scores.items(), key=lambda item: -item[1])]
