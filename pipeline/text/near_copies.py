"""Near copies: how much of one text another repeats, counted over word triples."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|\w+")


Triples = frozenset[tuple[str, str, str]]


def is_copy(text: str, source: str, share: float) -> bool:
    """Return whether at least this share of the source's word triples occurs in a text."""
    triples = cut_triples(source)
    return bool(triples) and len(cut_triples(text) & triples) >= share * len(triples)


@lru_cache(maxsize=1 << 12)
def cut_triples(text: str) -> Triples:
    """Return every three consecutive words; in scripts without spaces, every three characters."""
    words = WORD.findall(text.casefold())
    return frozenset(zip(words, words[1:], words[2:], strict=False))
