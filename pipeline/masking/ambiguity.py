"""Ambiguous spans: those of which a sentence elsewhere gives another answer of the kind, with all clues that are shown.

What is shown depends on what is hidden together with a span. Each piece of its evidence counts: whichever a solver
reads, no other answer fits as well. A span of whose clues nothing is shown is ambiguous too.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Protocol

from pipeline.masking.mentions import hide_question, hide_span
from pipeline.search.tokens import Tokenizer
from schemas.evidence import Evidence
from schemas.masking_config import EvidenceScope
from schemas.passages import Passage
from schemas.tasks import GAP, Span

KEPT_COUNTS = 1 << 12
"""Counts of rivals that stay in memory."""


class RivalCounter(Protocol):
    """Counter of rival answers (`pipeline.reachability.rivals`)."""

    def count(self, passage_id: str, source: str, span: Span, clues: Set[str]) -> int:
        """Return how many sentences hold the clues and a rival of a span. `source`: text of its passage."""
        ...


class AmbiguityCheck:
    """Check of spans that are hidden together."""

    def __init__(self, tokenize: Tokenizer, rivals: RivalCounter, scope: EvidenceScope, mentions: bool = False) -> None:
        """`tokenize`: index terms of a text; `scope`: of the evidence that counts; `mentions`: whether mentions are
        hidden too.
        """
        self._tokenize = tokenize
        self._rivals = rivals
        self._scope = scope
        self._mentions = mentions
        self._has_rival = lru_cache(KEPT_COUNTS)(self._count_rivals)

    def find(self, passage: Passage, spans: Sequence[Span]) -> list[Span]:
        """Return the ambiguous ones of spans that are hidden together, given in document order."""
        question = hide_question(passage, [hide_span(passage, span, self._mentions) for span in spans])
        pieces = (piece for text in question.texts for piece in GAP.split(text))
        shown = frozenset(term for piece in pieces for term in self._tokenize(piece))
        return [
            span
            for span in spans
            if any(
                self._has_rival(passage, span, shown.intersection(found.clues))
                for found in span.evidence
                if self._counts(passage, found)
            )
        ]

    def _counts(self, passage: Passage, found: Evidence) -> bool:
        return self._scope is not EvidenceScope.PAGE or found.page_id != passage.page_id

    def _count_rivals(self, passage: Passage, span: Span, clues: frozenset[str]) -> bool:
        return not clues or self._rivals.count(passage.passage_id, passage.text, span, clues) > 0
