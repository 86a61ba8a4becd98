"""Search by the nearness of vectors, over an index that `build_dense` wrote.

Promises: scores are cosines to five digits, the same whatever else is in the batch (where the encoder's vectors are);
ties go to the earlier row; `flat` is exact, and so are the scores of `hnsw` and `ivfpq`, which may miss a near passage
but never misjudge one; hiding a source never costs a hit; vectors are memory-mapped and shared between processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.encoder import TextEncoder, choose_prompts
from pipeline.search.engine import FoundPassage, SearchRequest, fail_call
from pipeline.search.index.dense import KIND, NEIGHBOURS, VECTORS, load_faiss
from pipeline.search.index.parts import FIX, advise_rebuild, open_part
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.queries import MAX_QUERY_CHARS, check_query, make_call
from schemas.record import content_id
from schemas.search_config import DenseConfig, DenseIndex
from schemas.trajectories import Hit, SearchCall

DIGITS = 5
MARGIN = 2 * 10**-DIGITS
ROWS_AT_ONCE = 32_768
QUERIES_AT_ONCE = 64
SPARE = 64
"""Candidates asked of an inexact index above what is wanted, and scored exactly."""
VISITED = 256
"""HNSW: nodes kept in view, at least."""
CELLS_PROBED, LEAST_PROBED = 16, 32
"""IVF: one cell in so many is searched, and never fewer than the second."""


class DenseEngine:
    """Searches by vectors. Many processes may open one folder."""

    def __init__(self, folder: Path, config: DenseConfig, encoder: TextEncoder, corpus: str | None = None) -> None:
        """Open the index; with `corpus`, refuse one built from other passages. Raises SearchError when it is absent or
        damaged, or was embedded by another encoder."""
        self.about = open_part(folder / KIND, KIND)
        self.store = PassageStore(folder / "passages")
        if self.about["corpus"] != self.store.corpus or corpus not in (None, self.store.corpus):
            raise SearchError(f"the index in {folder} was built from other passages", FIX)
        if (self.about["encoder"], self.about["dimension"]) != (encoder.identity, encoder.dimension):
            raise SearchError(
                f"the index in {folder} was embedded by {self.about['encoder']}, not {encoder.identity}", FIX
            )
        prompts = choose_prompts(config, encoder)
        if (self.about["index"], self.about["passage_prefix"]) != (config.index.value, prompts.passage):
            raise SearchError(f"the index in {folder} was built with other settings of search.dense", FIX)
        self._encoder = encoder
        self._prefix = prompts.query
        self._finder: Any = None
        try:
            self._vectors = np.asarray(np.load(folder / KIND / VECTORS, mmap_mode="r"))
            if config.index is not DenseIndex.FLAT:
                faiss = load_faiss()
                self._finder = faiss.read_index(str(folder / KIND / NEIGHBOURS), faiss.IO_FLAG_MMAP_IFC)
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
        asked = [index for index, (query, refused) in enumerate(checked) if refused is None and query.strip()]
        calls = [refused or make_call(query, ()) for query, refused in checked]
        try:
            vectors = self._encoder.encode_queries([self._prefix + checked[index][0] for index in asked])
        except SearchError as error:
            for index in asked:
                calls[index] = fail_call(checked[index][0][:MAX_QUERY_CHARS], error.what)
            return calls
        for start in range(0, len(asked), QUERIES_AT_ONCE):
            group, queries = asked[start : start + QUERIES_AT_ONCE], vectors[start : start + QUERIES_AT_ONCE]
            hidden = [self.store.hidden_rows(requests[index]) for index in group]
            find = self._find_all if self._finder is None else self._find_near
            found = find(queries, hidden, min(k, len(self.store)))
            for index, query, rows in zip(group, queries, found, strict=True):
                calls[index] = make_call(checked[index][0], self._rank(query, rows, k))
        return calls

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self.store.read(passage_ids)

    def _find_all(self, queries: np.ndarray, hidden: list[np.ndarray], k: int) -> list[np.ndarray]:
        """Rows of the k best of all vectors and of those that may be as good, unordered, for each query."""
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
        return [own[found > -np.inf] for own, found in zip(rows, scores, strict=True)]

    def _find_near(self, queries: np.ndarray, hidden: list[np.ndarray], k: int) -> list[np.ndarray]:
        """Rows that the index finds near, hidden ones left out, for each query."""
        faiss = load_faiss()
        wanted = min(k + max(map(len, hidden)) + SPARE, len(self._vectors))
        if isinstance(self._finder, faiss.IndexIVF):
            probed = max(LEAST_PROBED, self._finder.nlist // CELLS_PROBED)
            parameters = faiss.SearchParametersIVF(nprobe=min(probed, self._finder.nlist))
        else:
            parameters = faiss.SearchParametersHNSW(efSearch=max(VISITED, 2 * wanted))
        _, found = self._finder.search(queries, wanted, params=parameters)
        return [np.setdiff1d(rows[rows >= 0], without) for rows, without in zip(found, hidden, strict=True)]

    def _rank(self, query: np.ndarray, rows: np.ndarray, k: int) -> tuple[Hit, ...]:
        # In double precision a row's score is the same, to the digits kept, whatever it is computed together with.
        exact = query.astype(np.float64)
        pieces = np.array_split(rows, 1 + len(rows) // ROWS_AT_ONCE)
        scores = np.round(np.concatenate([self._vectors[piece].astype(np.float64) @ exact for piece in pieces]), DIGITS)
        order = np.lexsort((rows, -scores))[:k]
        return tuple(
            Hit(passage_id=self.store.id_at(row), score=score)
            for row, score in zip(rows[order].tolist(), scores[order].tolist(), strict=True)
        )


def _find_floor(scores: np.ndarray, k: int) -> float:
    """A little below the k-th best score; below all when there are fewer."""
    return float(np.partition(scores, len(scores) - k)[len(scores) - k]) - MARGIN if len(scores) >= k else -np.inf
