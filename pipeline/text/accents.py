"""The second look at accents: one that is left out is no error ("Dvorak" is "Dvořák"), another one is.

SQuAD's, HotpotQA's and Search-R1's rules compare accents as they are, and so do the official metrics here; models and
keyboards leave them out. So a token of an answer counts as the gold's own where, character by character, both are equal
or one of them is the other without its accent: "Hung" may be "Hùng" or "Hưng", which are two names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pipeline.text.folding import fold


def respell(folded_answer: str, gold_tokens: Iterable[str]) -> str:
    """A folded answer with the accents of the gold where only accents are missing, or too many.

    Args:
        folded_answer: Tokens between single spaces.
        gold_tokens: The tokens of the gold, folded.
    """
    tokens = list(gold_tokens)
    if folded_answer.isascii() and all(map(str.isascii, tokens)):
        return folded_answer
    plain = {_strip(token): token for token in tokens if len(token) > 1}
    return " ".join(_respell_token(token, plain) for token in folded_answer.split())


def _respell_token(token: str, plain: dict[str, str]) -> str:
    gold = plain.get(_strip(token))
    return gold if gold is not None and _agree(token, gold) else token


def _agree(token: str, gold: str) -> bool:
    if len(token) != len(gold):  # æ and ae
        return token == _strip(gold) or gold == _strip(token)
    return all(a == b or _strip(a) == b or a == _strip(b) for a, b in zip(token, gold, strict=True))


_strip = lru_cache(maxsize=8192)(fold)
