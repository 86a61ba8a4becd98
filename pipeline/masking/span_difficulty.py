"""Difficulty of a span: the estimated probability that only a search recovers it.

A logistic model of four facts: the kind of the span, whether it is a common name, its surprisal, and the share of the
corpus's passages that hold its words. Surprisal alone ranks names well (AUC 0.82), but calls dates and numbers easy and
rare words hard. Where a fact is missing, the coefficients are those of a fit without it.

The coefficients were fitted on 90 masks of 35 tasks that two readers labelled independently; a mask counts as needing a
search where both say so. Surprisals of SmolLM2-135M-Instruct, passages of a corpus of 5,016, ridge penalty 0.5. Of a
task left out of the fit they rank masks with an AUC of 0.945 (names and terms alone 0.951); without the corpus 0.932
(0.943), without a language model 0.920 (0.943); the facts were chosen on the same masks, so expect somewhat less.
`tests/bench/mask_labels.py` fits them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.tasks import SpanKind

COMMON_LABELS = frozenset({"LOC", "NORP", "LANGUAGE"})
"""Labels of names that general knowledge mostly fills: rivers and continents, peoples and faiths, languages."""
FIGURES = (SpanKind.DATE, SpanKind.NUMBER)
"""Kinds that a language model writes easily, right or wrong, since each digit is a token."""
CORPUS = 5_000
"""Passages of the corpus of the fit: in a larger one, counts are scaled down to it."""
LEAST_NATS = 0.05
"""Surprisal below which spans are equally easy."""
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Terms of the log odds."""

    constant: float
    figure: float
    """For dates and numbers."""
    common: float
    """For terms and common names."""
    surprisal: float
    """By the natural logarithm of the surprisal in nats."""
    passages: float
    """By the natural logarithm of 1 + the passages that hold the span's words."""


FITS: Mapping[tuple[bool, bool], Coefficients] = {
    (True, True): Coefficients(-2.00, 2.63, -3.03, 1.54, -0.77),
    (True, False): Coefficients(-4.85, 2.10, -3.15, 2.16, 0.0),
    (False, True): Coefficients(2.35, 2.55, -2.98, 0.0, -1.13),
    (False, False): Coefficients(0.44, 1.32, -3.04, 0.0, 0.0),
}
"""Coefficients by what is known: the surprisal, the passages."""


def is_common(kind: SpanKind, label: str, text: str) -> bool:
    """Return whether a span is a term or a common name: by its label, or since its last word is in lower case."""
    if kind is SpanKind.ENTITY:
        return label in COMMON_LABELS or any(word.islower() for word in text.split()[-1:])
    return kind is SpanKind.TERM


def scale_count(passages: int, corpus: int) -> float:
    """Scale a count of passages from a corpus of this size down to that of the fit."""
    return passages * min(1.0, CORPUS / max(corpus, 1))


def estimate_difficulty(
    kind: SpanKind, label: str, text: str, surprisal: float | None, passages: float | None
) -> float:
    """Return the difficulty of a span. `surprisal`: in nats; `passages`: how many hold its words, scaled
    (`scale_count`); None where unknown.
    """
    fit = FITS[surprisal is not None, passages is not None]
    odds = fit.constant + fit.figure * (kind in FIGURES)
    odds += fit.common * is_common(kind, label, text)
    if surprisal is not None:
        odds += fit.surprisal * math.log(max(surprisal, LEAST_NATS))
    if passages is not None:
        odds += fit.passages * math.log1p(passages)
    return round(1 / (1 + math.exp(-odds)), DIGITS)
