"""Evidence for a hidden span: sentences of other passages that hold its answer and share clues with its passage.

A candidate span is worth hiding only where a search can bring its answer back while its own passage is withheld. The
finder looks for that over the postings of the run's own index: rare terms of the passage give the passages that share
several of them, the answer's terms narrow these, and the sentences are read. The clues of a span are the rare terms of
its own sentence and of the page's title, without the answer's. Copies of the passage do not count, nor does a sentence
with the answer in another inflection: what a solver reads there is not the answer.

Cost: per passage one pass over the postings of its rare terms, of which each has at most `RAREST` entries whatever the
size of the corpus; per span the reading of at most `READ` passages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from itertools import chain

import numpy as np

from pipeline.evidence.answer_counts import narrow_rows
from pipeline.evidence.context import PassageTerms, Sentence, read_terms
from pipeline.search.bm25 import Bm25Engine
from pipeline.text.near_copies import cut_ngrams
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.evidence import Evidence
from schemas.passages import Passage

RARE_SHARE = 0.02
"""Share of the passages in which a term still counts as rare."""
RAREST = 20_000
"""The same as a number of passages, for large corpora."""
READ = 48
"""Passages read for one span, those with the most clues first."""
KEPT = 8
"""Evidence kept for one span."""
KNOWN_PASSAGES = 1 << 12
"""Passages whose terms stay in memory, about 15 kB each."""

Forms = Mapping[tuple[str, ...], Set[str]]
"""The forms of an answer, folded, by their index terms."""


class EvidenceFinder:
    """Looks for evidence in an opened index."""

    def __init__(self, engine: Bm25Engine, clues: int) -> None:
        """`clues`: rare terms that a sentence of evidence must share with the span's sentence or its page's title."""
        self._engine = engine
        self._clues = clues
        self._limit = min(max(2, int(RARE_SHARE * len(engine.store))), RAREST)
        self._read_row = lru_cache(maxsize=KNOWN_PASSAGES)(self._read_terms)

    def find(
        self, passage: Passage, spans: Sequence[tuple[int, Sequence[str]]], shown: Sequence[Passage] = ()
    ) -> list[tuple[Evidence, ...]]:
        """Return the evidence for each span, given as its offset and the forms of its answer; other pages first.

        `shown`: for each span the passage with what is hidden besides the span written over, where there is such.
        """
        source = read_terms(passage.title, passage.text, self._engine.tokenize)
        own_row = self._engine.store.find_row(passage.passage_id)
        clues = self._list_clues(source)
        rows = self._share_clues(clues, own_row)
        answers = [self._read_forms(forms) for _, forms in spans]
        found = []
        for (start, _), answer, seen in zip(spans, answers, shown or [passage] * len(spans), strict=True):
            sentence = next(s for s in source.sentences if s.start <= start < s.end)
            usable = clues & source.title.union(sentence.terms)
            if seen != passage:
                texts = seen.title, seen.text[sentence.start : sentence.end]
                usable &= {term for text in texts for term in self._engine.tokenize(text)}
            found.append(self._find_one(passage, source, usable, rows, answer))
        return found

    def _list_clues(self, source: PassageTerms) -> frozenset[str]:
        """Rare terms of the passage and of its title that other passages hold as well."""
        terms = set(chain(source.title, *(sentence.terms for sentence in source.sentences)))
        return frozenset(term for term in terms if 1 < self._engine.count(term) <= self._limit)

    def _read_forms(self, forms: Iterable[str]) -> Forms:
        read: dict[tuple[str, ...], set[str]] = {}
        for form in forms:
            read.setdefault(tuple(self._engine.tokenize(form)), set()).add(fold_text(form))
        read.pop((), None)
        return read

    def _share_clues(self, clues: Iterable[str], own_row: int | None) -> np.ndarray:
        """Rows of the passages that hold enough clues, those with more first."""
        postings = [self._engine.rows_of(term) for term in sorted(clues)]
        if not postings:
            return np.zeros(0, np.int64)
        rows, counts = np.unique(np.concatenate(postings), return_counts=True)
        keep = counts >= self._clues
        if own_row is not None:
            keep &= rows != own_row
        rows, counts = rows[keep], counts[keep]
        return rows[np.argsort(-counts, kind="stable")]

    def _find_one(
        self,
        passage: Passage,
        source: PassageTerms,
        clues: frozenset[str],
        rows: np.ndarray,
        answer: Forms,
    ) -> tuple[Evidence, ...]:
        found: dict[int, Evidence] = {}
        for terms, folded in sorted(answer.items()):
            usable = clues.difference(terms)
            for row in narrow_rows(self._engine, rows, terms)[:READ].tolist():
                if row not in found and (evidence := self._check(passage, source, usable, row, terms, folded)):
                    found[row] = evidence
        order = sorted(found.values(), key=lambda e: (e.page_id == passage.page_id, -e.score, e.passage_id))
        return tuple(order[:KEPT])

    def _check(
        self,
        passage: Passage,
        source: PassageTerms,
        clues: frozenset[str],
        row: int,
        answer: tuple[str, ...],
        folded: Set[str],
    ) -> Evidence | None:
        """The best sentence of a passage, where it is evidence."""
        other = self._read_row(row)
        best: tuple[float, Sentence, list[str]] | None = None
        for sentence in other.sentences:
            if answer not in cut_ngrams(sentence.terms, len(answer)):
                continue
            shared = sorted(clues.intersection(sentence.terms))
            score = sum(map(self._engine.rarity, shared))
            if len(shared) < self._clues or (best is not None and score <= best[0]):
                continue
            text = fold_text(other.text[sentence.start : sentence.end])
            if any(holds_tokens(text, form) for form in folded):
                best = score, sentence, shared
        if best is None or other.is_copy(source):
            return None
        score, sentence, shared = best
        return Evidence(
            passage_id=self._engine.store.id_at(row),
            page_id=int(self._engine.store.page_ids[row]),
            start=sentence.start,
            end=sentence.end,
            clues=tuple(shared),
            score=round(score, 4),
        )

    def _read_terms(self, row: int) -> PassageTerms:
        (found,) = self._engine.read([self._engine.store.id_at(row)])
        return read_terms(found.title, found.text, self._engine.tokenize)
