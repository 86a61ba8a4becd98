"""Near copies: texts that share a run of words, and the n-grams by which they are found."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from pipeline.text.normalisation import is_unspaced

COPIED_WORDS = 10
"""Words in a row that a copy shares with its source; twice as many characters in scripts without spaces."""
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|\w+")

Triples = frozenset[tuple[str, ...]]


def cut_ngrams(tokens: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Return every `size` consecutive tokens."""
    return zip(*(tokens[start:] for start in range(size)), strict=False)


def is_copy(text: str, source: str) -> bool:
    """Return whether two texts share a run of words."""
    return not cut_runs(text).isdisjoint(cut_runs(source))


@lru_cache(maxsize=1 << 12)
def cut_runs(text: str) -> frozenset[int]:
    """Return the hashes, valid in this process, of every run of `COPIED_WORDS`."""
    words = WORD.findall(text.casefold())
    unspaced = sum(len(word) == 1 and is_unspaced(word) for word in words)
    size = COPIED_WORDS * (2 if 2 * unspaced > len(words) else 1)
    return frozenset(map(hash, cut_ngrams(words, size)))


@lru_cache(maxsize=1 << 12)
def cut_triples(text: str) -> Triples:
    """Return every three consecutive words; in scripts without spaces, every three characters."""
    return frozenset(cut_ngrams(WORD.findall(text.casefold()), 3))
