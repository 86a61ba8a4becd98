"""Gaming of a single answer: copying the question, offering several things, hedging, repeating, padding.

Everything is relative to the right answer: a mark of a list or of doubt counts only where every form of the gold lacks
it ("Trinidad and Tobago" may contain "and"), and length counts in the gold's own tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from pipeline.judging.scoring import GoldForm, equals_gold, holds_markup
from pipeline.text.normalisation import fold_text, holds_tokens, is_unspaced
from schemas.rewards import GamingReason

FEW = 2
"""Tokens beside a gold, filler apart, that are not yet padding."""
MUCH, MUCH_AT_LEAST = 4, 40
"""An answer with more characters than `MUCH` times the gold's and this minimum is padded, if only by articles and
marks."""
RUN, UNSPACED_RUN = 5, 8
"""Consecutive tokens from which text is copied from the question rather than shared with it."""

_FILL = "in on at of by to from about around circa ca year a an is was were it answer 年 在 于 约 是 的 答 案 为"
_FILLERS = frozenset(_FILL.split())
_LIST = re.compile(
    r"[;；、/／|｜\n•&＆(（\[【]| [-–—] |——|(?<=[\u3400-\u9fff])\s+(?=[\u3400-\u9fff])"
    r"|[,，](?!\s*\d{4}\b)(?!(?<=\d.)\d{3}(?!\d))"
    r"|\b(?:or|and|either|neither|both|vs|versus|aka|also|alternatively|respectively)\b"
    r"|还是|或者?|以及|及其?|(?<!共)和(?![平国谐尚服田县])|与",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"[?？]|\b(?:maybe|perhaps|possibly|probably|likely|might|may be|could be|unknown|unclear|unsure|uncertain|cannot"
    r"|can't|can not|unable|undetermined|not|isn't|wasn't|don't|doesn't|i (?:think|guess|believe)|seems?|no answer"
    r"|if)\b"
    r"|可能|也许|或许|大概|大约是|似乎|好像|估计|恐怕|无法|不能|未知|不详|不明|不清楚|不知道|不确定|难以|没有答案|不是",
    re.IGNORECASE,
)
_FIGURES = re.compile(r"\d[\d.⁄]*")
_MASK = re.compile(r"[\[(（【]\s*mask\b", re.IGNORECASE)
_AND = {
    "&": "and",
    "＆": "and",
    "，": ",",
    "；": ";",
    "／": "/",
    "｜": "|",
    "？": "?",
    "（": "(",
    "【": "[",
    "或者": "或",
    "及其": "及",
}


def find_answer_gaming(answer: str, golds: Sequence[GoldForm], folded_question: str) -> GamingReason | None:
    """Return the first way in which an answer games, or None. `golds`: the right forms."""
    folded = fold_text(answer)
    tokens = folded.split()
    if _MASK.search(answer):
        return GamingReason.COPIED_PROMPT
    if holds_markup(answer) and not any(holds_markup(gold.text) for gold in golds):
        return GamingReason.UNCLOSED_TAG
    drowned = len(answer) > MUCH * max(len(gold.text) for gold in golds) + MUCH_AT_LEAST
    if not tokens or equals_gold(folded, golds) or any(Counter(tokens) == gold.tokens for gold in golds):
        return GamingReason.PADDED if drowned else None
    if folded_question and _is_copied(tokens, folded, golds, folded_question):
        return GamingReason.COPIED_PROMPT
    if _is_repeated(tokens, folded, golds):
        return GamingReason.REPEATED
    if _exceeds(_HEDGE, answer, golds):
        return GamingReason.HEDGED
    if _exceeds(_LIST, answer, golds) or _adds_numbers(tokens, folded, golds):
        return GamingReason.ENUMERATED
    return GamingReason.PADDED if drowned or _is_padded(tokens, folded, golds) else None


def _is_copied(tokens: list[str], folded: str, golds: Sequence[GoldForm], question: str) -> bool:
    """Return whether a long run of the answer occurs in the question, or the whole question in the answer, but not in a
    gold.
    """
    if len(question.split()) > FEW and holds_tokens(folded, question):
        return True
    length = UNSPACED_RUN if any(map(is_unspaced, folded)) else RUN
    runs = (" ".join(tokens[start : start + length]) for start in range(len(tokens) - length + 1))
    return any(holds_tokens(question, run) and not any(holds_tokens(g.folded, run) for g in golds) for run in runs)


def _is_repeated(tokens: list[str], folded: str, golds: Sequence[GoldForm]) -> bool:
    """Return whether the answer repeats one thing, a gold, or some other word."""
    length = len(tokens)
    for size in range(1, length // 2 + 1):
        if length % size == 0 and tokens == tokens[:size] * (length // size):
            return not any(holds_tokens(gold.folded, folded) for gold in golds)
    if any(_count_runs(folded, gold.folded) > max(_count_runs(g.folded, gold.folded) for g in golds) for gold in golds):
        return True
    words = Counter(token for token in tokens if token not in _FILLERS)
    word, most = words.most_common(1)[0] if words else ("", 0)
    return most > 2 + max(gold.tokens[word] for gold in golds) and 2 * most > length


def _count_runs(folded: str, part: str) -> int:
    spread = "".join(f" {token} " for token in folded.split())
    return spread.count("".join(f" {token} " for token in part.split()))


def _exceeds(marks: re.Pattern[str], answer: str, golds: Sequence[GoldForm]) -> bool:
    found = _count_marks(marks, answer)
    return bool(found) and not any(found <= _count_marks(marks, gold.text) for gold in golds)


@lru_cache(maxsize=4096)
def _count_marks(marks: re.Pattern[str], text: str) -> Counter[str]:
    found = (mark.lower() for mark in marks.findall(text))
    return Counter(_AND.get(mark, mark) for mark in found)


def _adds_numbers(tokens: list[str], folded: str, golds: Sequence[GoldForm]) -> bool:
    """Return whether a gold appears beside another number of the same length as one of its own."""
    numbers = Counter(filter(None, map(_read_figures, tokens)))
    for gold in golds:
        own = Counter(filter(None, map(_read_figures, gold.tokens.elements())))
        lengths = {len(figures) for figures in own}
        if any(len(figures) in lengths for figures in numbers - own) and holds_tokens(folded, gold.folded):
            return True
    return False


def _read_figures(token: str) -> str:
    """Return the figures of a number, ignoring sign, comparison and ending; none for a word."""
    figures = _FIGURES.search(token)
    return figures[0] if figures else ""


def _is_padded(tokens: list[str], folded: str, golds: Sequence[GoldForm]) -> bool:
    """Return whether the answer is far longer than every gold, or buries a gold in other words."""
    words = Counter(token for token in tokens if token not in _FILLERS)
    around = [gold for gold in golds if holds_tokens(folded, gold.folded)]
    if any((words - gold.tokens).total() >= max(FEW + gold.unspaced, gold.tokens.total()) for gold in around):
        return True
    sizes = [gold.tokens.total() for gold in golds]
    return bool(sizes) and all(words.total() > max(2 * size, size + FEW) for size in sizes)
