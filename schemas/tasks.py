"""Spans that may be masked, and the RAMP tasks made from them (MaskSearch, arXiv 2505.20285, section 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.record import Frozen, Record

MASK = "[mask]"
"""What stands in a masked text where a span was."""


class SpanKind(StrEnum):
    """What a span names."""

    ENTITY = "entity"
    DATE = "date"
    NUMBER = "number"
    TERM = "term"


class SpanSource(StrEnum):
    """Who found a span."""

    NER = "ner"
    LINK = "link"
    RULE = "rule"
    LLM = "llm"


class Span(Frozen):
    """A stretch of a passage that can be hidden and asked for."""

    start: int
    """Offset of the first character in the passage's text."""
    end: int
    """Offset just past the last character in the passage's text."""
    text: str
    """Exactly `passage.text[start:end]`."""
    kind: SpanKind
    """What it names."""
    label: str
    """A finer kind, as its source calls it (PERSON, GPE, year, quantity, ...)."""
    source: SpanSource
    """Who found it."""
    target: str | None
    """Title of the page it links to, when it is a wikilink."""
    aliases: tuple[str, ...]
    """Other ways to write the same answer; never the text itself."""
    perplexity: float | None
    """exp of the mean negative log-likelihood of its tokens; None when no language model was asked."""

    @property
    def forms(self) -> tuple[str, ...]:
        """Every way to write it, its own text first: what an answer is compared with."""
        return (self.text, *self.aliases)


class ProposedSpan(Frozen):
    """A stretch of a passage that a language model would hide."""

    start: int
    """Offset of the first character in the passage's text."""
    end: int
    """Offset just past the last character in the passage's text."""
    kind: SpanKind
    """What it names, as the model says."""


class Proposals(Record):
    """What a language model would hide in one passage: every stretch stands there letter by letter."""

    dataset: ClassVar[str] = "proposals"
    id_field: ClassVar[str] = "passage_id"

    passage_id: str
    """The passage."""
    spans: tuple[ProposedSpan, ...]
    """In document order, none twice."""
    model: str
    """Name of the model."""
    prompts: tuple[str, ...]
    """Digests of the templates that asked for them."""


class SpanSet(Record):
    """The spans of one passage that passed every filter, in document order, never overlapping."""

    dataset: ClassVar[str] = "spans"
    id_field: ClassVar[str] = "passage_id"

    passage_id: str
    """The passage they stand in."""
    spans: tuple[Span, ...]
    """Every span that may be masked."""
    scorer: str | None
    """Name and revision of the language model behind the perplexities."""


class AnswerStyle(StrEnum):
    """What the solver is asked to write."""

    SPANS = "spans"
    PARAGRAPH = "paragraph"


class MaskTask(Record):
    """A passage with one to four spans hidden: recover them by searching."""

    dataset: ClassVar[str] = "tasks"
    id_field: ClassVar[str] = "task_id"

    task_id: str
    """Hash of the passage id, the spans' offsets and the answer style."""
    passage_id: str
    """The passage it is made from."""
    document_id: str
    """The page it is made from."""
    page_id: int
    """The page's number in its wiki."""
    lang: str
    """Language code."""
    title: str
    """The page's title."""
    section: tuple[str, ...]
    """Headings above the passage."""
    masked_text: str
    """The passage with each span replaced by `MASK`."""
    spans: tuple[Span, ...]
    """The hidden spans, in document order: gold, never shown to a solver."""
    mask_count: int
    """How many spans are hidden: as many as `MASK` stands in the text."""
    answer_style: AnswerStyle
    """What the solver is asked to write; scores are on spans either way."""
    difficulty: float | None
    """Mean natural logarithm of the hidden spans' perplexities; None when they have none."""

    def fill(self, answers: tuple[str, ...] | list[str]) -> str:
        """Put one answer into each hole; the gold texts restore the passage byte for byte.

        Raises ValueError when there are not exactly `mask_count` answers.
        """
        pieces = self.masked_text.split(MASK)
        if len(answers) != len(pieces) - 1:
            raise ValueError(f"{len(pieces) - 1} masks but {len(answers)} answers")
        return "".join(piece + answer for piece, answer in zip(pieces, [*answers, ""], strict=True))
