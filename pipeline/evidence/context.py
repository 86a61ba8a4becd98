"""A passage as sentences of index terms, and the runs of terms by which a copy of it is told."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.passages.sentences import find_sentences
from pipeline.search.tokens import Tokenizer

COPIED_WORDS = 10
"""Consecutive terms that make a passage a copy of another."""


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
    runs: frozenset[int]
    """Hashes of every `COPIED_WORDS` consecutive terms."""

    def copies(self, other: PassageTerms) -> bool:
        """Whether the two passages share so many consecutive terms."""
        return not self.runs.isdisjoint(other.runs)


def read_terms(title: str, text: str, tokenize: Tokenizer) -> PassageTerms:
    """Cut a passage into sentences of terms."""
    sentences = tuple(Sentence(start, end, tuple(tokenize(text[start:end]))) for start, end in find_sentences(text))
    terms = [term for sentence in sentences for term in sentence.terms]
    runs = (hash(tuple(terms[i : i + COPIED_WORDS])) for i in range(len(terms) - COPIED_WORDS + 1))
    return PassageTerms(frozenset(tokenize(title)), sentences, frozenset(runs))


def holds_run(terms: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether the wanted terms occur one after another."""
    size = len(wanted)
    return any(terms[i : i + size] == wanted for i in range(len(terms) - size + 1))
