"""Passages as sentences of index terms, and the n-grams of terms that show copied text."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.passages.sentences import find_sentences
from pipeline.search.tokens import Tokenizer
from pipeline.text.near_copies import cut_ngrams

COPIED_TERMS = 10
"""Length of the n-grams: two passages that share one are copies."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage; offsets count characters of the passage's text."""

    start: int
    end: int
    terms: tuple[str, ...]
    """Index terms, in order."""


@dataclass(frozen=True, slots=True)
class PassageTerms:
    """A passage as sentences of index terms."""

    title: frozenset[str]
    """Terms of the page's title."""
    sentences: tuple[Sentence, ...]
    ngrams: frozenset[int]
    """Hashes of every `COPIED_TERMS` consecutive terms, valid in this process."""

    def is_copy(self, other: PassageTerms) -> bool:
        """Return whether the passages share an n-gram."""
        return not self.ngrams.isdisjoint(other.ngrams)


def read_terms(title: str, text: str, tokenize: Tokenizer) -> PassageTerms:
    """Cut a passage into sentences of terms."""
    sentences = tuple(Sentence(start, end, tuple(tokenize(text[start:end]))) for start, end in find_sentences(text))
    terms = [term for sentence in sentences for term in sentence.terms]
    return PassageTerms(frozenset(tokenize(title)), sentences, frozenset(map(hash, cut_ngrams(terms, COPIED_TERMS))))
