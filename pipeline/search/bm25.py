"""Local BM25 over passages: bm25s builds the index, which is kept on disk and memory-mapped.

Promises: the scores are bm25s's own ("lucene" variant, `title. text` indexed), found faster by a cheaper
selection of the best; ties go to the earlier row; hiding a source zeroes it in the query's own
scores and never touches the index, so as many hits come back as if it had never been there; an index is complete or
absent.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pyarrow as pa

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage, SearchRequest, fail_call
from pipeline.search.passage_store import FIX, PassageStore, write_store
from pipeline.search.tokens import KNOWN_WORDS, make_tokenizer
from schemas.record import content_id
from schemas.search_config import SearchConfig
from schemas.trajectories import HideMode, Hit, SearchCall, SearchStatus

INDEX_FILE = "index.json"
INDEX_VERSION = 1
MAX_QUERY_CHARS = 10_000
NEAR_BEST = 0.4


def build_index(batches: Iterable[pa.RecordBatch], folder: Path, config: SearchConfig, lang: str) -> dict[str, Any]:
    """Build the index of passages into the folder, replacing what is there, and return its description.

    `batches` carry the columns of `passage_store.COLUMNS`. Everything is written beside the folder and moved into place
    at the end. Raises SearchError when there is no passage.
    """
    building = folder.with_name(folder.name + ".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    tokenize = make_tokenizer(lang)
    vocabulary: dict[str, int] = {}
    rows: list[list[int]] = []

    def see(title: str, text: str) -> None:
        rows.append([vocabulary.setdefault(term, len(vocabulary)) for term in tokenize(f"{title}. {text}")])

    count, corpus = write_store(batches, building, see)
    if not vocabulary:
        shutil.rmtree(building)
        raise SearchError("there is no passage to index", "check the funnel of the passages stage: rampforge report")
    model = bm25s.BM25(k1=config.k1, b=config.b, method="lucene", backend="numpy")
    model.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    model.save(building, show_progress=False)
    settings = {"kind": "bm25", "version": INDEX_VERSION, "k1": config.k1, "b": config.b, "lang": lang}
    about = {**settings, "corpus": corpus, "passages": count, "terms": len(vocabulary)}
    about["fingerprint"] = content_id(settings, corpus)
    (building / INDEX_FILE).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)
    return about


class Bm25Engine:
    """Searches an index that `build_index` wrote. Many processes may open one folder."""

    def __init__(self, folder: Path, corpus: str | None = None) -> None:
        """Open the index; with `corpus`, refuse one that was built from other passages. Raises SearchError."""
        self.about = _read_about(folder)
        if corpus is not None and corpus != self.about["corpus"]:
            raise SearchError(f"the index in {folder} was built from other passages", FIX)
        try:
            model = bm25s.BM25.load(folder, mmap=True, show_progress=False)
        except (OSError, ValueError, KeyError) as error:
            raise SearchError(f"the index in {folder} cannot be read: {error}", FIX) from error
        self.store = PassageStore(folder)
        if not len(self.store) == model.scores["num_docs"] == self.about["passages"]:
            raise SearchError(f"the parts of the index in {folder} disagree on the number of passages", FIX)
        # Plain arrays over the same memory map: slicing a numpy.memmap costs several times as much.
        self._scores, self._rows = (np.asarray(model.scores[name]) for name in ("data", "indices"))
        self._ends: list[int] = model.scores["indptr"].tolist()
        self._terms: dict[str, int] = model.vocab_dict
        self._tokenize = make_tokenizer(self.about["lang"])
        self._passage_id = lru_cache(maxsize=KNOWN_WORDS)(self.store.id_at)

    @property
    def fingerprint(self) -> str:
        """Hash of the settings and the corpus."""
        return str(self.about["fingerprint"])

    @property
    def lang(self) -> str:
        """Language whose tokenizer the index was built with."""
        return str(self.about["lang"])

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        """Answer every request; an empty, overlong or wordless query gets a status and no hits."""
        return [self._search_one(request, k) for request in requests]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages by id. Raises SearchError for an unknown id."""
        return self.store.read(passage_ids)

    def rarity(self, term: str) -> float:
        """BM25's inverse document frequency of an index term; that of a term in no passage when unknown."""
        number = self._terms.get(term)
        found = 0 if number is None else self._ends[number + 1] - self._ends[number]
        return math.log(1 + (len(self.store) - found + 0.5) / (found + 0.5))

    def _search_one(self, request: SearchRequest, k: int) -> SearchCall:
        query = request.query.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be written down
        if k < 1:
            return fail_call(query[:MAX_QUERY_CHARS], f"k is {k}, must be at least 1")
        if len(query) > MAX_QUERY_CHARS:
            return fail_call(query[:MAX_QUERY_CHARS], f"query of {len(query)} characters, at most {MAX_QUERY_CHARS}")
        terms = self._terms
        numbers = [terms[term] for term in self._tokenize(query) if term in terms]
        hits: tuple[Hit, ...] = ()
        if numbers:
            scores = self._score(numbers)
            scores[self._hidden_rows(request)] = 0.0
            hits = self._take_best(scores, k)
        status = SearchStatus.OK if hits else SearchStatus.EMPTY
        return SearchCall(query=query, status=status, hits=hits, detail=None)

    def _score(self, numbers: list[int]) -> np.ndarray:
        scores = np.zeros(len(self.store), dtype=np.float32)
        ends, rows, data = self._ends, self._rows, self._scores
        for number in numbers:
            start, end = ends[number], ends[number + 1]
            np.add.at(scores, rows[start:end], data[start:end])
        return scores

    def _hidden_rows(self, request: SearchRequest) -> np.ndarray:
        if request.hide is HideMode.NONE:
            return np.zeros(0, dtype=np.int64)
        if request.hide is HideMode.PAGE and request.page_id is not None:
            return self.store.rows_of_page(request.page_id)
        row = self.store.find_row(request.passage_id)
        return np.array([] if row is None else [row], dtype=np.int64)

    def _take_best(self, scores: np.ndarray, k: int) -> tuple[Hit, ...]:
        # Few passages come near the best: one comparison sets most aside. Sorting all would cost most of a search.
        rows = np.flatnonzero(scores > scores.max() * NEAR_BEST)
        if len(rows) < k:
            rows = np.flatnonzero(scores)
        found = scores[rows]
        if len(rows) > k:
            keep = found >= np.partition(found, len(found) - k)[len(found) - k]
            rows, found = rows[keep], found[keep]
        best = np.argsort(-found, kind="stable")[:k]  # stable: of equals, the earlier row
        return tuple(
            Hit(passage_id=self._passage_id(row), score=score)
            for row, score in zip(rows[best].tolist(), found[best].tolist(), strict=True)
        )


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SearchError(f"there is no index in {folder}", FIX) from error
    if about.get("kind") != "bm25" or about.get("version") != INDEX_VERSION:
        raise SearchError(f"the index in {folder} was made by another version of rampforge", FIX)
    return about
