"""Near copies: n-grams of words, and how much of one text another repeats, counted over word triples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|\w+")


Triples = frozenset[tuple[str, ...]]


def cut_ngrams(tokens: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    """Return every `size` consecutive tokens."""
    return zip(*(tokens[start:] for start in range(size)), strict=False)


def is_copy(text: str, source: str, share: float) -> bool:
    """Return whether at least this share of the source's word triples occurs in a text."""
    triples = cut_triples(source)
    return bool(triples) and len(cut_triples(text) & triples) >= share * len(triples)


@lru_cache(maxsize=1 << 12)
def cut_triples(text: str) -> Triples:
    """Return every three consecutive words; in scripts without spaces, every three characters."""
    return frozenset(cut_ngrams(WORD.findall(text.casefold()), 3))
