"""Scores of an answer against the gold span, and the decision whether it counts as right. Rules only, no model.

Guarantees: scores are on the span alone, over bags of tokens, so that neither repetition nor copying the prompt pays;
the best of the gold text and its aliases counts. An answer is right when it is equal to one of them after folding, or
when it is nearly equal and nothing in it changes the meaning or offers a second answer (`settle_answer` defines it
exactly). MaskSearch (arXiv 2505.20285, section 4.3) saw token recall gamed by padding and enumeration: hence the
limits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz

from pipeline.text.accents import respell
from pipeline.text.normalisation import fold_text, is_unspaced
from schemas.config import JudgingConfig
from schemas.tasks import Span

_APART = """
north south east west northern southern eastern western upper lower inner outer new old former ex vice deputy
anti non pre post pro pseudo jr sr junior senior younger elder not no never nor without except unlike
january february march april june july august september october november december
monday tuesday wednesday thursday friday saturday sunday
东 南 西 北 前 后 左 右 上 下 新 旧 老 大 小 男 女 父 母 不 非 无 未 没 反 副
"""
_NAMES_APART = frozenset(_APART.split())
"""Words and characters that distinguish things of similar name: an answer has exactly those of the gold."""

_FILL = "in on at of by to from about around circa ca year a an 年 在 于 约 是 的 答 案 为"
_FILLERS = frozenset(_FILL.split())
"""Tokens that may surround a right answer."""

_SECOND_ANSWER = re.compile(
    r"[;；、/|｜\n]|[,，](?!\s*\d{4}\b)|\b(?:or|and|either|neither|both|vs|versus|maybe|perhaps|possibly|probably|likely"
    r"|unknown|unclear|unsure|cannot|can't|undetermined|isn't|wasn't|alternatively|if)\b|[或和与及]|还是|可能|也许|大概|无法|未知|不确定",
    re.IGNORECASE,
)
"""Marks of a list, a choice or a hedge: an answer has none that the gold itself lacks."""

_NEVER_IN_AN_ANSWER = re.compile(r"\[\s*mask\s*\]|</?[a-z_|][^>]*>?|<\|", re.IGNORECASE)
_ROMAN_NUMBER = re.compile(r"[ivx]+")


@dataclass(frozen=True, slots=True)
class Scores:
    """Similarity of one answer to its closest gold form."""

    exact: bool
    f1: float
    recall: float
    fuzzy: float
    gold: str


@dataclass(frozen=True, slots=True)
class GoldForm:
    """One form of the right answer, folded once."""

    text: str
    folded: str
    joined: str
    tokens: Counter[str]
    names: Counter[str]
    unspaced: bool


def read_gold(span: Span) -> tuple[GoldForm, ...]:
    """The span's text and its aliases, folded; the text first, aliases with equal folding omitted."""
    forms: dict[str, GoldForm] = {}
    for text in span.forms:
        folded = fold_text(text)
        if folded and folded not in forms:
            tokens = folded.split()
            unspaced = any(map(is_unspaced, folded))
            forms[folded] = GoldForm(text, folded, "".join(tokens), Counter(tokens), _count_names(tokens), unspaced)
    return tuple(forms.values())


def score_answer(folded_answer: str, golds: tuple[GoldForm, ...], span: Span) -> Scores:
    """Score a folded answer against every gold form; the best form wins (exact, then F1, then similarity)."""
    best = Scores(exact=False, f1=0.0, recall=0.0, fuzzy=0.0, gold=span.text)
    if not folded_answer:
        return best
    current, bag, joined = "", Counter[str](), ""
    for gold in golds:
        respelled = respell(folded_answer, gold.tokens)
        if respelled != current:
            current, bag, joined = respelled, Counter(respelled.split()), respelled.replace(" ", "")
        exact = current == gold.folded
        shared = (bag & gold.tokens).total()
        scores = Scores(
            exact=exact,
            f1=2 * shared / (bag.total() + gold.tokens.total()),
            recall=shared / gold.tokens.total(),
            fuzzy=1.0 if exact else fuzz.ratio(joined, gold.joined) / 100,
            gold=gold.text,
        )
        if (scores.exact, scores.f1, scores.fuzzy) > (best.exact, best.f1, best.fuzzy):
            best = scores
    return best


def settle_answer(
    answer: str,
    folded_answer: str,
    golds: tuple[GoldForm, ...],
    config: JudgingConfig,
    occurs_in_results: Callable[[str], bool],
) -> bool:
    """Whether the answer is right: true for some gold form when the answer has no tag or mask and either

    - both are equal after folding, accents that one of them leaves out aside; or
    - the answer has the gold's numbers, single letters, negations and names of direction, order and month (1868 is not
      1869, World War I not World War II, North not South), offers nothing else (no list, no choice, no hedge that
      the gold lacks), and is similar enough (`min_fuzzy`) from the same first letter on; or
    - the same, and it has `min_recall` of the gold's tokens, at most twice as many in all, and what it adds is filler
      or it occurs whole in a passage that was shown. In scripts without spaces the gold must occur in one piece.
    """
    if not folded_answer or holds_markup(answer):
        return False
    if equals_gold(folded_answer, golds):
        return True
    marks = _count_marks(answer)
    for gold in golds:
        respelled = respell(folded_answer, gold.tokens)
        tokens = respelled.split()
        bag, names, joined = Counter(tokens), _count_names(tokens), "".join(tokens)
        if names != gold.names or not marks <= _count_marks(gold.text):
            continue
        if joined[0] == gold.joined[0] and fuzz.ratio(joined, gold.joined) / 100 >= config.min_fuzzy:
            return True
        if (
            (bag & gold.tokens).total() / gold.tokens.total() >= config.min_recall
            and len(tokens) <= 2 * gold.tokens.total()
            and (not gold.unspaced or gold.folded in respelled)
            and ((bag - gold.tokens).keys() <= _FILLERS or occurs_in_results(respelled))
        ):
            return True
    return False


def equals_gold(folded_answer: str, golds: Sequence[GoldForm]) -> bool:
    """Whether a folded answer equals one of the golds, apart from missing accents."""
    return any(folded_answer == gold.folded or respell(folded_answer, gold.tokens) == gold.folded for gold in golds)


def holds_markup(answer: str) -> bool:
    """Whether the answer contains a tag or a mask, and so is not an answer."""
    return _NEVER_IN_AN_ANSWER.search(answer) is not None


def _count_marks(text: str) -> Counter[str]:
    return Counter(mark.lower() for mark in _SECOND_ANSWER.findall(text))


def _count_names(tokens: list[str]) -> Counter[str]:
    """The tokens that must be equal: numbers, figures or Roman; single letters at either end; `_NAMES_APART`."""
    last = len(tokens) - 1
    return Counter(
        token
        for place, token in enumerate(tokens)
        if token in _NAMES_APART
        or any(map(str.isdigit, token))
        or _ROMAN_NUMBER.fullmatch(token)
        or (place in (0, last) and len(token) == 1 and token.isalpha() and not is_unspaced(token))
    )
