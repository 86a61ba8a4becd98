"""Queries of the oracle: words that were shown and that a passage of evidence holds as well, the rarest first.

Guarantee: a query holds words of the vocabulary and no others; the same vocabulary and evidence give the same queries
in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from itertools import zip_longest

from pipeline.search.tokens import WORD, Tokenizer

SIZES = (8, 16, 4, 2)
"""Words of a query for one passage, in the order in which they are tried."""
FALLBACK = (4, 1)
"""Words of a query for no passage in particular, once all others were tried."""

Vocabulary = Mapping[str, str]
"""A word for each index term."""


def read_vocabulary(texts: Iterable[str], tokenize: Tokenizer) -> dict[str, str]:
    """The index terms of some texts, each with the first word that has this term alone, or for want of one itself."""
    found: dict[str, str] = {}
    for text in texts:
        terms = tokenize(text)
        words = {only[0]: word for word in reversed(WORD.findall(text)) if len(only := tokenize(word)) == 1}
        for term in terms:
            if term not in found and (term in words or tokenize(term) == [term]):
                found[term] = words.get(term, term)
    return found


def write_queries(
    evidence: Sequence[Sequence[Set[str]]], vocabulary: Vocabulary, rarity: Callable[[str], float]
) -> Iterator[str]:
    """Queries for masks, each given as the terms of its passages of evidence: in each round one more passage of each
    mask is sought, and those sought before by another number of words; at last the vocabulary itself, in pieces.
    """

    def join(terms: Sequence[str]) -> str:
        return " ".join(dict.fromkeys(vocabulary[term] for term in terms))

    def rank(terms: Iterable[str]) -> list[str]:
        return sorted(terms, key=lambda term: (-rarity(term), term))

    shared = [[rank(terms & vocabulary.keys()) for terms in passages] for passages in evidence]
    rounds = max(map(len, shared), default=0) + len(SIZES) - 1
    queries: dict[str, None] = {}
    for number in range(rounds):
        sought = (
            [
                ranked[: SIZES[number - place]]
                for place, ranked in enumerate(passages)
                if 0 <= number - place < len(SIZES)
            ]
            for passages in shared
        )
        queries |= dict.fromkeys(join(terms) for row in zip_longest(*sought, fillvalue=()) for terms in row if terms)
    yield from queries
    rest = rank(vocabulary)
    pieces = (join(rest[at : at + size]) for size in FALLBACK for at in range(0, len(rest), size))
    yield from (piece for piece in dict.fromkeys(pieces) if piece not in queries)
