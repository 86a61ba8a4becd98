"""How surprising a span is: exp of the mean negative log-likelihood of its tokens, in nats.

What the model is told is the title, a line break, and the passage before the span with every other candidate span
hidden as `[mask]`. The paper names perplexity as a measure of difficulty and gives no formula; this definition is the
project's own. It depends on the passage alone, never on what else is scored beside it.

A passage is cut into segments, plain text, span, plain text, and so on, and each is tokenised by itself, the space
before a span going with the span: byte-pair tokenisers put a word's space into its first token. So the tokens of a span
and of what stands before it are the same whether the span is scored alone or with all the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.tasks import MASK


@dataclass(frozen=True, slots=True)
class SpanContext:
    """A passage whose spans are to be scored."""

    title: str
    text: str
    spans: tuple[tuple[int, int], ...]
    """Bounds of the spans, in document order, disjoint."""


class SpanScorer(Protocol):
    """Scores spans. The same context gives the same numbers (to 1e-3) in any order and company."""

    name: str
    """Name and revision of the model: it is written into every row that holds its numbers."""

    def score(self, items: Sequence[SpanContext]) -> list[list[float]]:
        """The perplexity of every span, one list an item, in the order given."""
        ...


@dataclass(frozen=True, slots=True)
class Segments:
    """A context as text segments: `plain[i]` stands before `spans[i]`; what follows the last span tells nothing."""

    plain: tuple[str, ...]
    spans: tuple[str, ...]
    masks: tuple[str, ...]
    """What stands in a span's place for the spans after it, with the same space before it."""


def cut_segments(context: SpanContext) -> Segments:
    """Cut a context into segments; the title and its line break open the first."""
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
