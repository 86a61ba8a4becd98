"""Counts of the passages that hold the words of an answer, from the postings of the run's own index."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.search.bm25 import Bm25Engine


class AnswerCounts:
    """Counts over an opened index."""

    def __init__(self, engine: Bm25Engine) -> None:
        self._engine = engine
        self.passages = len(engine.store)
        """Passages of the corpus."""

    def count(self, text: str) -> int:
        """Return how many passages hold every index term of a text; all, if it has none.

        The cost is that of the rarest term's postings, each looked up in those of the others.
        """
        terms = sorted(set(self._engine.tokenize(text)), key=lambda term: (self._engine.count(term), term))
        if not terms:
            return self.passages
        return len(narrow_rows(self._engine, self._engine.rows_of(terms[0]), terms[1:]))

    def count_rarest(self, texts: Iterable[str]) -> int | None:
        """Return how many passages hold the rarest index term of some texts; None where no passage holds one."""
        terms = {term for text in texts for term in self._engine.tokenize(text)}
        return min((count for term in terms if (count := self._engine.count(term))), default=None)


def narrow_rows(engine: Bm25Engine, rows: np.ndarray, terms: Iterable[str]) -> np.ndarray:
    """Return those rows whose passages hold every term, in the given order."""
    for term in terms:
        held = engine.rows_of(term)
        if not len(held):
            return rows[:0]
        places = np.minimum(np.searchsorted(held, rows), len(held) - 1)
        rows = rows[held[places] == rows]
    return rows
