"""Local BM25 over passages: bm25s's scores, kept on disk and memory-mapped.

Promises: the scores are those of bm25s's "lucene" variant (`title. text` indexed), found faster by a cheaper selection
of the best; ties go to the earlier row; hiding a source zeroes it in the query's own scores and never touches the
index, so as many hits come back as if it had never been there; opening reads neither vocabulary nor matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage, SearchRequest
from pipeline.search.index.bm25 import ENDS, KIND, ROWS, SCORES, build_bm25
from pipeline.search.index.parts import FIX, RunBlocks, advise_rebuild, open_part
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.passages import build_store
from pipeline.search.index.sorted_strings import SortedStrings
from pipeline.search.index.term_counts import TERMS
from pipeline.search.queries import check_query, make_call
from pipeline.search.tokens import KNOWN_WORDS, make_tokenizer
from schemas.search_config import SearchConfig
from schemas.trajectories import Hit, SearchCall

NEAR_BEST = (0.4, 0.2, 0.1, 0.0)
"""Shares of the best score above which the best hits are looked for, one after another until there are enough."""
FEW = 1 / 50
"""Below this share of postings to passages it is cheaper to sort the postings than to go through all passages."""
MANY = 1 << 16
"""Fewer postings than that are brought together for one addition, instead of one for each term."""


def build_index(
    shards: Sequence[Path], folder: Path, config: SearchConfig, lang: str, run_blocks: RunBlocks = map
) -> dict[str, Any]:
    """Build the `passages` and `bm25` parts of the index at `folder`, where they are not there yet; the description of
    the latter.

    Raises SearchError when there is no passage.
    """
    folder.mkdir(parents=True, exist_ok=True)
    build_store(shards, folder / "passages", run_blocks)
    return build_bm25(folder, config, lang, run_blocks)


class Bm25Engine:
    """Searches an index that `build_index` wrote. Many processes may open one folder."""

    def __init__(self, folder: Path, corpus: str | None = None) -> None:
        """Open the index; with `corpus`, refuse one that was built from other passages. Raises SearchError."""
        self.about = open_part(folder / KIND, KIND)
        self.store = PassageStore(folder / "passages")
        if self.about["corpus"] != self.store.corpus or corpus not in (None, self.store.corpus):
            raise SearchError(f"the index in {folder} was built from other passages", FIX)
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
        self._ends = ends.data  # its items are Python integers, got at in a third of the time
        self._find_term = lru_cache(maxsize=KNOWN_WORDS)(terms.find)
        self._tokenize = make_tokenizer(self.lang, self.about["tokenizer"], self.about.get("folded", False))

    @property
    def fingerprint(self) -> str:
        """Hash of the settings and the corpus."""
        return str(self.about["fingerprint"])

    @property
    def lang(self) -> str:
        """Language of the corpus."""
        return str(self.about["lang"])

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request; an empty, overlong or wordless query gets a status and no hits."""
        return [self._search_one(request, k) for request in requests]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self.store.read(passage_ids)

    def rarity(self, term: str) -> float:
        """BM25's inverse document frequency of an index term; that of a term in no passage when unknown."""
        number = self._find_term(term)
        found = 0 if number is None else self._ends[number + 1] - self._ends[number]
        return math.log(1 + (len(self.store) - found + 0.5) / (found + 0.5))

    def _search_one(self, request: SearchRequest, k: int) -> SearchCall:
        query, refused = check_query(request, k)
        if refused:
            return refused
        found = [self._find_term(term) for term in self._tokenize(query)]
        numbers = [number for number in found if number is not None]
        if not numbers:
            return make_call(query, ())
        places = [(self._ends[number], self._ends[number + 1]) for number in numbers]
        postings = sum(end - start for start, end in places)
        hidden = self.store.hidden_rows(request)
        if postings < len(self.store) * FEW:
            rows, scores = self._score_found(places)
            scores[np.isin(rows, hidden)] = 0.0
            return make_call(query, self._take_best(scores, k, rows))
        scores = self._score_all(places, postings)
        scores[hidden] = 0.0
        return make_call(query, self._take_best(scores, k))

    def _score_all(self, places: Sequence[tuple[int, int]], postings: int) -> np.ndarray:
        """The score of every passage, from so many postings at these places."""
        scores = np.zeros(len(self.store), dtype=np.float32)
        if postings < MANY:
            np.add.at(scores, *self._bring_together(places))
            return scores
        for start, end in places:
            np.add.at(scores, self._rows[start:end], self._scores[start:end])
        return scores

    def _score_found(self, places: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """The passages that hold a term, in order, and their scores: the same sums, in the same order, as over all."""
        rows, data = self._bring_together(places)
        order = np.argsort(rows, kind="stable")  # of sorted runs: a merge
        rows = rows[order]
        first = np.ones(len(rows), dtype=bool)
        np.not_equal(rows[1:], rows[:-1], out=first[1:])
        scores = np.zeros(np.count_nonzero(first), dtype=np.float32)
        np.add.at(scores, np.cumsum(first) - 1, data[order])
        return rows[first], scores

    def _bring_together(self, places: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """The postings at these places, in this order: rows, as numpy wants them for indices, and scores."""
        rows = np.concatenate([self._rows[start:end] for start, end in places], dtype=np.intp)
        return rows, np.concatenate([self._scores[start:end] for start, end in places])

    def _take_best(self, scores: np.ndarray, k: int, passages: np.ndarray | None = None) -> tuple[Hit, ...]:
        """The best hits, of passages with these scores: of all in order, unless their rows are given."""
        # Few passages come near the best: one comparison sets most aside. Sorting all would cost most of a search.
        best_score = scores.max()
        for share in NEAR_BEST:
            (rows,) = (scores > best_score * share).nonzero()
            if len(rows) >= k:
                break
        found = scores[rows]
        if len(rows) > k:
            keep = found >= np.partition(found, len(found) - k)[len(found) - k]
            rows, found = rows[keep], found[keep]
        best = np.argsort(-found, kind="stable")[:k]  # stable: of equals, the earlier row
        rows = rows if passages is None else passages[rows]
        return tuple(
            Hit(passage_id=self.store.id_at(row), score=score)
            for row, score in zip(rows[best].tolist(), found[best].tolist(), strict=True)
        )
