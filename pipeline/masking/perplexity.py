"""Surprisal of spans: the negative log-likelihood of their tokens, summed, in nats.

The context is the title, a line break, and the passage before the span with every other candidate span hidden as
`[mask]`. The paper (MaskSearch, arXiv 2505.20285) filters by perplexity and gives no formula. Here it is taken over the
span as a whole: the exponent of the surprisal. A mean over tokens instead calls figures easy, because each digit is a
token of its own, and names hard. A score depends on the passage alone, never on what else is scored with it.

A passage is divided into segments (plain text, span, plain text, and so on), each tokenised separately, with the space
before a span as part of the span: byte-pair tokenizers put a word's space into its first token. Thus the tokens of a
span and of its context are the same whether the span is scored alone or with all the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.tasks import MASK


@dataclass(frozen=True, slots=True)
class SpanContext:
    """Passage whose spans are to be scored."""

    title: str
    text: str
    spans: tuple[tuple[int, int], ...]
    """Bounds of the spans, in document order, disjoint."""


@dataclass(frozen=True, slots=True)
class SpanScore:
    """Score of one span."""

    surprisal: float
    """Negative log-likelihood of the whole span, in nats."""
    tokens: int
    """Number of its tokens, at least 1."""

    @property
    def perplexity(self) -> float:
        """Perplexity per token: exp of the mean negative log-likelihood."""
        return math.exp(self.surprisal / self.tokens)


class SpanScorer(Protocol):
    """Scorer of spans. The same context gives the same scores (to 1e-3) in any order and batch."""

    name: str
    """Name and revision of the model, written into every row with its numbers."""

    def score(self, items: Sequence[SpanContext]) -> list[list[SpanScore]]:
        """Return the score of every span, one list per item, in the given order."""
        ...


@dataclass(frozen=True, slots=True)
class Segments:
    """Context as text segments: `plain[i]` precedes `spans[i]`; the text after the last span is not needed."""

    plain: tuple[str, ...]
    spans: tuple[str, ...]
    masks: tuple[str, ...]
    """Replacement of a span for the spans after it, with the same space before it."""


def cut_segments(context: SpanContext) -> Segments:
    """Divide a context into segments; the title and its line break start the first."""
    plain: list[str] = []
    spans: list[str] = []
    masks: list[str] = []
    at = 0
    opening = f"{context.title}\n"
    for start, end in context.spans:
        space = start > at and context.text[start - 1] == " "
        cut = start - 1 if space else start
        plain.append(opening + context.text[at:cut])
        spans.append(context.text[cut:end])
        masks.append(f" {MASK}" if space else MASK)
        at, opening = end, ""
    return Segments(tuple(plain), tuple(spans), tuple(masks))
