"""Dense retrieval over an index that `build_dense` wrote.

Guarantees: scores are cosines to five digits, independent of the rest of the batch (where the encoder's vectors are);
ties go to the earlier row; `flat` is exact, and so are the scores of `hnsw` and `ivfpq`, which may only miss a near
passage; hiding a source never costs a hit; vectors are memory-mapped and shared between processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.encoder import TextEncoder, choose_prompts
from pipeline.search.engine import MAX_QUERY_CHARS, FoundPassage, SearchRequest, check_query, fail_call, make_call
from pipeline.search.index.dense import KIND, NEIGHBOURS, VECTORS, load_faiss
from pipeline.search.index.parts import FIX, advise_rebuild
from pipeline.search.index.passage_store import open_over_passages
from schemas.record import content_id
from schemas.search_config import DenseConfig, DenseIndex
from schemas.trajectories import Hit, SearchCall

DIGITS = 5
MARGIN = 2 * 10**-DIGITS
ROWS_AT_ONCE = 32_768
QUERIES_AT_ONCE = 64
SPARE = 64
"""Candidates beyond k that an approximate index returns, to be scored exactly."""
MIN_EF = 256
"""HNSW: least size of the candidate list (efSearch)."""
CELLS_PER_PROBE, MIN_PROBES = 16, 32
"""IVF: one cell in `CELLS_PER_PROBE` is searched, at least `MIN_PROBES`."""


class DenseEngine:
    """Searches by vectors. Many processes may open one folder."""

    def __init__(self, folder: Path, config: DenseConfig, encoder: TextEncoder) -> None:
        """Open the index. Raises SearchError when it is absent or damaged, or was embedded by another encoder."""
        self.about, self.store = open_over_passages(folder, KIND)
        if (self.about["encoder"], self.about["dimension"]) != (encoder.identity, encoder.dimension):
            raise SearchError(
                f"the index in {folder} was embedded by {self.about['encoder']}, not {encoder.identity}", FIX
            )
        prompts = choose_prompts(config, encoder)
        if (self.about["index"], self.about["passage_prefix"]) != (config.index.value, prompts.passage):
            raise SearchError(f"the index in {folder} was built with other settings of search.dense", FIX)
        self._encoder = encoder
        self._prefix = prompts.query
        self._approximate: Any = None
        try:
            self._vectors = np.asarray(np.load(folder / KIND / VECTORS, mmap_mode="r"))
            if config.index is not DenseIndex.FLAT:
                faiss = load_faiss()
                self._approximate = faiss.read_index(str(folder / KIND / NEIGHBOURS), faiss.IO_FLAG_MMAP_IFC)
        except (OSError, ValueError, RuntimeError) as error:
            raise SearchError(f"the index in {folder} cannot be read: {error}", advise_rebuild(folder)) from error
        if self._vectors.shape != (len(self.store), encoder.dimension):
            raise SearchError(
                f"the parts of the index in {folder} disagree on the number of passages", advise_rebuild(folder)
            )

    @property
    def fingerprint(self) -> str:
        """Hash of the settings, the encoder and the corpus."""
        return content_id(self.about["fingerprint"], self._prefix)

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request; an empty or overlong query gets a status and no hits, and so do all when the encoder
        fails."""
        checked = [check_query(request, k) for request in requests]
        valid = [index for index, (query, refused) in enumerate(checked) if refused is None and query.strip()]
        calls = [refused or make_call(query, ()) for query, refused in checked]
        try:
            vectors = self._encoder.encode_queries([self._prefix + checked[index][0] for index in valid])
        except SearchError as error:
            for index in valid:
                calls[index] = fail_call(checked[index][0][:MAX_QUERY_CHARS], error.what)
            return calls
        for start in range(0, len(valid), QUERIES_AT_ONCE):
            group, queries = valid[start : start + QUERIES_AT_ONCE], vectors[start : start + QUERIES_AT_ONCE]
            asked = [requests[index] for index in group]
            hidden = [self.store.hidden_rows(r.hide, r.passage_id, r.page_id) for r in asked]
            select = self._select_exact if self._approximate is None else self._select_near
            candidates = select(queries, hidden, min(k, len(self.store)))
            for index, query, rows in zip(group, queries, candidates, strict=True):
                calls[index] = make_call(checked[index][0], self._rank(query, rows, k))
        return calls

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self.store.read(passage_ids)

    def _select_exact(self, queries: np.ndarray, hidden: list[np.ndarray], k: int) -> list[np.ndarray]:
        """Rows of the k best of all vectors, and of those within rounding of them, unordered, for each query."""
        rows = [np.zeros(0, np.int64)] * len(queries)
        scores = [np.zeros(0, np.float32)] * len(queries)
        for start in range(0, len(self._vectors), ROWS_AT_ONCE):
            near = queries @ self._vectors[start : start + ROWS_AT_ONCE].T
            for index, column in enumerate(near):
                inside = hidden[index] - start
                column[inside[(inside >= 0) & (inside < len(column))]] = -np.inf
                better = np.flatnonzero(column >= _find_floor(scores[index] if len(scores[index]) >= k else column, k))
                rows[index] = np.concatenate([rows[index], better + start])
                scores[index] = np.concatenate([scores[index], column[better]])
                keep = scores[index] >= _find_floor(scores[index], k)
                rows[index], scores[index] = rows[index][keep], scores[index][keep]
        return [own[near > -np.inf] for own, near in zip(rows, scores, strict=True)]

    def _select_near(self, queries: np.ndarray, hidden: list[np.ndarray], k: int) -> list[np.ndarray]:
        """Rows that the approximate index returns, without hidden ones, for each query."""
        faiss = load_faiss()
        count = min(k + max(map(len, hidden)) + SPARE, len(self._vectors))
        if isinstance(self._approximate, faiss.IndexIVF):
            probes = max(MIN_PROBES, self._approximate.nlist // CELLS_PER_PROBE)
            parameters = faiss.SearchParametersIVF(nprobe=min(probes, self._approximate.nlist))
        else:
            parameters = faiss.SearchParametersHNSW(efSearch=max(MIN_EF, 2 * count))
        _, near = self._approximate.search(queries, count, params=parameters)
        return [np.setdiff1d(rows[rows >= 0], without) for rows, without in zip(near, hidden, strict=True)]

    def _rank(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[Hit, ...]:
        # In double precision a row's score does not depend, to the digits kept, on the rows computed with it.
        exact = query.astype(np.float64)
        pieces = np.array_split(rows, 1 + len(rows) // ROWS_AT_ONCE)
        scores = np.round(np.concatenate([self._vectors[piece].astype(np.float64) @ exact for piece in pieces]), DIGITS)
        order = np.lexsort((rows, -scores))[:k]
        return self.store.make_hits(rows[order], scores[order])


def _find_floor(scores: np.ndarray, k: int) -> float:
    """The k-th best score less a margin for rounding; -inf when there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) - MARGIN if len(scores) >= k else -np.inf
