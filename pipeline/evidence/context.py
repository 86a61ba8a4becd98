"""Passages as sentences of index terms."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.passages.sentences import find_sentences
from pipeline.search.tokens import Tokenizer
from pipeline.text.near_copies import cut_runs


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

    text: str
    title: frozenset[str]
    """Terms of the page's title."""
    sentences: tuple[Sentence, ...]
    runs: frozenset[int]
    """Its runs of words, by which copies are found."""

    def is_copy(self, other: PassageTerms) -> bool:
        """Return whether the passages share a run of words."""
        return not self.runs.isdisjoint(other.runs)


def read_terms(title: str, text: str, tokenize: Tokenizer) -> PassageTerms:
    """Cut a passage into sentences of terms."""
    sentences = tuple(Sentence(start, end, tuple(tokenize(text[start:end]))) for start, end in find_sentences(text))
    return PassageTerms(text, frozenset(tokenize(title)), sentences, cut_runs(text))
