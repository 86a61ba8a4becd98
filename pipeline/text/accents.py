"""Comparison of accents: a missing accent is not an error ("Dvorak" is "Dvořák"), a different one is.

The rules of SQuAD, HotpotQA and Search-R1 compare accents exactly, and so do the official metrics here; models and
keyboards omit them. Therefore a token of an answer equals that of the gold if each character is equal or one is the
other without its accent: "Hung" may be "Hùng" or "Hưng", which are two names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from pipeline.text.folding import fold


def respell(folded_answer: str, gold_tokens: Iterable[str]) -> str:
    """Respell a folded answer with the accents of the gold where accents are only missing or added.

    Args: folded_answer: Tokens between single spaces. gold_tokens: The tokens of the gold, folded.
    """
    tokens = list(gold_tokens)
    if folded_answer.isascii() and all(map(str.isascii, tokens)):
        return folded_answer
    plain = {_strip(token): token for token in tokens if len(token) > 1}
    plain |= {token: token for token in tokens}  # a gold may hold one token with its accents and without ("Hưng Hung")
    return " ".join(_respell_token(token, plain) for token in folded_answer.split())


def _respell_token(token: str, plain: dict[str, str]) -> str:
    gold = plain.get(token) or plain.get(_strip(token))
    return gold if gold is not None and _agree(token, gold) else token


def _agree(token: str, gold: str) -> bool:
    if len(token) != len(gold):  # æ and ae
        return token == _strip(gold) or gold == _strip(token)
    return all(a == b or _strip(a) == b or a == _strip(b) for a, b in zip(token, gold, strict=True))


_strip = lru_cache(maxsize=8192)(fold)
