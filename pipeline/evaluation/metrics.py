"""Metrics of an answer: token recall, exact match, substring match and F1.

Guarantees: every metric is 0 without an answer and 1 for a gold; the best form of a gold counts, for each metric
separately; text is compared as in judging (`pipeline.text.normalisation`), so Chinese counts by character. An answer
of several parts is compared with all of them, in any order: recall and substring are means over the parts, repeated
ones each time; exact and F1 take the parts together, repeated ones each time or once. The published rules are in
`official_metrics`. Token recall (MaskSearch, arXiv 2505.20285) does not penalise additions: read it beside F1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.text.accents import respell
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.evaluations import EvalQuestion

_JOINING = frozenset(("and", "和", "与", "及"))
"""Conjunctions between the parts of an answer."""


@dataclass(frozen=True, slots=True)
class AnswerScores:
    """Scores of one answer, each from 0 to 1."""

    recall: float = 0.0
    exact: float = 0.0
    substring: float = 0.0
    f1: float = 0.0


@dataclass(frozen=True, slots=True)
class _Form:
    """Form of a part of the answer."""

    folded: str
    tokens: Counter[str]

    def __hash__(self) -> int:
        return hash(self.folded)


_NEVER = _Form("\0", Counter(("\0",)))
"""Form of a part that folds to nothing; no answer has its token."""


def score_answer(answer: str | None, question: EvalQuestion) -> AnswerScores:
    """The scores of an answer; zeros without one."""
    folded = fold_text(answer) if answer else ""
    if not folded:
        return AnswerScores()
    parts = _fold_golds(question.golds)
    folded = respell(folded, (token for forms in parts for form in forms for token in form.tokens))
    bag = Counter(folded.split())
    recalls = [max(_share(bag, form.tokens) for form in forms) for forms in parts]
    contained = [any(holds_tokens(folded, form.folded) for form in forms) for forms in parts]
    if len(parts) == 1:
        exact = any(folded == form.folded for form in parts[0])
        f1 = max(_f1(bag, form.tokens) for form in parts[0])
    else:
        own = _drop_joining(bag)
        wholes = [
            _drop_joining(sum((_nearest(bag, forms) for forms in required), Counter[str]()))
            for required in (parts, dict.fromkeys(parts))
        ]
        exact, f1 = own in wholes, max(_f1(own, whole) for whole in wholes)
    return AnswerScores(_mean(recalls), float(exact), _mean(contained), f1)


@lru_cache(maxsize=8192)
def _fold_golds(golds: tuple[tuple[str, ...], ...]) -> tuple[tuple[_Form, ...], ...]:
    """Cached, as every run is scored against the same golds."""
    parts = []
    for forms in golds:
        folded = dict.fromkeys(filter(None, map(fold_text, forms)))
        parts.append(tuple(_Form(text, Counter(text.split())) for text in folded) or (_NEVER,))
    return tuple(parts)


def _nearest(bag: Counter[str], forms: Sequence[_Form]) -> Counter[str]:
    """The tokens of the form closest to the answer; of equals the first."""
    return max(forms, key=lambda form: (_share(bag, form.tokens), _f1(bag, form.tokens))).tokens


def _drop_joining(bag: Counter[str]) -> Counter[str]:
    return Counter({token: count for token, count in bag.items() if token not in _JOINING})


def _share(bag: Counter[str], gold: Counter[str]) -> float:
    return (bag & gold).total() / gold.total()


def _f1(bag: Counter[str], gold: Counter[str]) -> float:
    total = bag.total() + gold.total()
    return 2 * (bag & gold).total() / total if total else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
