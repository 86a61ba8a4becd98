"""Rival answers: other spans of a mask's kind that stand in sentences with the same clues.

The clues are those of the mask's evidence that the task still shows. A sentence of another passage with all of them,
without the answer, but with another date or number (or, for names and terms, another link) supports a second answer as
well as the evidence supports the first. Copies of the source and other evidence do not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from pipeline.agents.roles import open_task
from pipeline.evidence.answer_counts import narrow_rows
from pipeline.masking.rules import find_rule_spans
from pipeline.passages.sentences import find_sentences
from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import FoundPassage
from pipeline.text.near_copies import is_copy
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.evidence import Evidence
from schemas.tasks import MaskTask, Span, SpanKind

READ = 48
"""Passages read for one mask."""


class RivalFinder:
    """Looks for rivals in an opened index."""

    def __init__(self, index: Bm25Engine) -> None:
        self._index = index

    def show_clues(self, task: MaskTask, evidence: Evidence) -> frozenset[str]:
        """The clues of some evidence that the task shows, in index terms."""
        shown = frozenset(term for text in open_task(task).texts for term in self._index.tokenize(text))
        return shown.intersection(evidence.clues)

    def count(self, passage_id: str, source: str, span: Span, clues: Set[str]) -> int:
        """How many sentences hold the clues and a rival, over the first `READ` passages with all clues. `source`: text
        of the span's passage.
        """
        known = {passage_id, *(found.passage_id for found in span.evidence)}
        forms = [fold_text(form) for form in span.forms]
        return sum(
            self._holds_rival(passage, start, end, span, forms)
            for passage in self._find_passages(clues)
            if passage.passage_id not in known and not is_copy(passage.text, source)
            for start, end in find_sentences(passage.text)
            if clues <= set(self._index.tokenize(passage.text[start:end]))
        )

    def _find_passages(self, clues: Iterable[str]) -> Iterator[FoundPassage]:
        terms = sorted(clues, key=lambda term: (self._index.count(term), term))
        rows = narrow_rows(self._index, self._index.rows_of(terms[0]), terms[1:])[:READ] if terms else ()
        return iter(self._index.read([self._index.store.id_at(row) for row in rows]))

    def _holds_rival(self, passage: FoundPassage, start: int, end: int, span: Span, forms: Iterable[str]) -> bool:
        text = passage.text[start:end]
        folded = fold_text(text)
        if any(holds_tokens(folded, form) for form in forms):
            return False
        if span.kind in (SpanKind.DATE, SpanKind.NUMBER):
            return any(found.kind is span.kind for found in find_rule_spans(text, self._index.lang))
        return any(start <= first < last <= end for first, last in passage.anchors)
