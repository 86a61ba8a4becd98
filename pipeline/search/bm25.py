"""Local BM25 over passages: bm25s's scores, on disk and memory-mapped.

Guarantees: the scores are those of bm25s's "lucene" variant (`title. text` indexed), with a cheaper selection of the
best; ties go to the earlier row; hiding a source zeroes it in the query's own scores, not in the index, so that as many
hits are returned as without it; opening reads neither vocabulary nor matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage, SearchRequest, check_query, make_call
from pipeline.search.index.bm25 import ENDS, KIND, ROWS, SCORES, build_bm25
from pipeline.search.index.parts import RunBlocks, advise_rebuild
from pipeline.search.index.passage_store import open_over_passages
from pipeline.search.index.passages import build_store
from pipeline.search.index.sorted_strings import SortedStrings
from pipeline.search.index.term_counts import TERMS
from pipeline.search.tokens import KNOWN_WORDS, make_tokenizer
from schemas.search_config import SearchConfig
from schemas.trajectories import Hit, SearchCall

NEAR_BEST = (0.4, 0.2, 0.1, 0.0)
"""Shares of the best score above which candidates are selected, tried in order until there are k."""
SPARSE = 1 / 50
"""Below this share of postings to passages it is cheaper to sort the postings than to go through all passages."""
MANY = 1 << 16
"""Fewer postings than this are concatenated for one addition, instead of one per term."""


def build_index(
    shards: Sequence[Path], folder: Path, config: SearchConfig, lang: str, run_blocks: RunBlocks = map
) -> dict[str, Any]:
    """Build the missing parts among `passages` and `bm25` of the index at `folder`; the description of the latter.

    Raises SearchError when there is no passage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    build_store(shards, folder / "passages", run_blocks)
    return build_bm25(folder, config, lang, run_blocks)


class Bm25Engine:
    """Searches an index that `build_index` wrote. Many processes may open one folder."""

    def __init__(self, folder: Path) -> None:
        """Open the index. Raises SearchError."""
        self.about, self.store = open_over_passages(folder, KIND)
        try:
            # Plain arrays over the same memory map: slicing a numpy.memmap costs several times as much.
            self._scores, self._rows, ends = (
                np.asarray(np.load(folder / KIND / name, mmap_mode="r")) for name in (SCORES, ROWS, ENDS)
            )
            terms = SortedStrings(folder / KIND / TERMS)
        except (OSError, ValueError) as error:
            raise SearchError(f"the index in {folder} cannot be read: {error}", advise_rebuild(folder)) from error
        if not len(self._scores) == len(self._rows) == self.about["postings"] or len(ends) != len(terms) + 1:
            raise SearchError(
                f"the parts of the index in {folder} disagree on the number of terms", advise_rebuild(folder)
            )
        self._ends = ends.data  # its items are Python integers, three times as fast to access
        self._find_term = lru_cache(maxsize=KNOWN_WORDS)(terms.find)
        self.tokenize = make_tokenizer(self.lang, self.about["tokenizer"])
        """Function from a text to its index terms, in order."""

    @property
    def fingerprint(self) -> str:
        """Hash of the settings and the corpus."""
        return str(self.about["fingerprint"])

    @property
    def lang(self) -> str:
        """Language of the corpus."""
        return str(self.about["lang"])

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request; an empty or overlong query, or one without terms, gets a status and no hits."""
        return [self._search_one(request, k) for request in requests]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self.store.read(passage_ids)

    def rows_of(self, term: str) -> np.ndarray:
        """Rows of the passages that hold an index term, ascending."""
        number = self._find_term(term)
        return self._rows[:0] if number is None else self._rows[self._ends[number] : self._ends[number + 1]]

    def count(self, term: str) -> int:
        """Number of passages that hold an index term."""
        number = self._find_term(term)
        return 0 if number is None else self._ends[number + 1] - self._ends[number]

    def rarity(self, term: str) -> float:
        """BM25's inverse document frequency of an index term; that of a term in no passage when unknown."""
        passages = self.count(term)
        return math.log(1 + (len(self.store) - passages + 0.5) / (passages + 0.5))

    def _search_one(self, request: SearchRequest, k: int) -> SearchCall:
        query, refused = check_query(request, k)
        if refused:
            return refused
        terms = [self._find_term(term) for term in self.tokenize(query)]
        spans = [(self._ends[term], self._ends[term + 1]) for term in terms if term is not None]
        if not spans:
            return make_call(query, ())
        postings = sum(end - start for start, end in spans)
        hidden = self.store.hidden_rows(request.hide, request.passage_id, request.page_id)
        if postings < len(self.store) * SPARSE:
            rows, scores = self._score_matching(spans)
            scores[np.isin(rows, hidden)] = 0.0
            return make_call(query, self._take_best(scores, k, rows))
        scores = self._score_all(spans, postings)
        scores[hidden] = 0.0
        return make_call(query, self._take_best(scores, k))

    def _score_all(self, spans: Sequence[tuple[int, int]], postings: int) -> np.ndarray:
        """The score of every passage. `spans`: start and end of the postings of each term, `postings` in all."""
        scores = np.zeros(len(self.store), dtype=np.float32)
        if postings < MANY:
            np.add.at(scores, *self._concatenate(spans))
            return scores
        for start, end in spans:
            np.add.at(scores, self._rows[start:end], self._scores[start:end])
        return scores

    def _score_matching(self, spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows that contain a term, in order, and their scores: the same sums, in the same order, as `_score_all`."""
        rows, data = self._concatenate(spans)
        order = np.argsort(rows, kind="stable")  # of sorted runs: a merge
        rows = rows[order]
        first = np.ones(len(rows), dtype=bool)
        np.not_equal(rows[1:], rows[:-1], out=first[1:])
        scores = np.zeros(np.count_nonzero(first), dtype=np.float32)
        np.add.at(scores, np.cumsum(first) - 1, data[order])
        return rows[first], scores

    def _concatenate(self, spans: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Rows, in numpy's index type, and scores of the postings in these spans."""
        rows = np.concatenate([self._rows[start:end] for start, end in spans], dtype=np.intp)
        return rows, np.concatenate([self._scores[start:end] for start, end in spans])

    def _take_best(self, scores: np.ndarray, k: int, passages: np.ndarray | None = None) -> tuple[Hit, ...]:
        """The k best hits. `passages`: the row of each score; None: scores are of all rows in order."""
        # Few passages come near the best: one comparison excludes most. Sorting all would cost most of a search.
        best_score = scores.max()
        for share in NEAR_BEST:
            (rows,) = (scores > best_score * share).nonzero()
            if len(rows) >= k:
                break
        near = scores[rows]
        if len(rows) > k:
            keep = near >= np.partition(near, len(near) - k)[len(near) - k]
            rows, near = rows[keep], near[keep]
        best = np.argsort(-near, kind="stable")[:k]  # stable: of equals, the earlier row
        rows = rows if passages is None else passages[rows]
        return self.store.make_hits(rows[best], near[best])
