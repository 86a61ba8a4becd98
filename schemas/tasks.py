"""Maskable spans, and the RAMP tasks made from them (MaskSearch, arXiv 2505.20285, section 2)."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import ClassVar

from schemas.evidence import Evidence
from schemas.record import Frozen, Record
from schemas.renderings import QuestionKind

MASK = "[mask]"
"""Placeholder of a hidden span in a masked text."""
REPEAT = re.compile(r"\[=mask (\d{1,2})\]")
"""Placeholder of another mention of a hidden span, with the number of its mask, counted from 1."""
GAP = re.compile(r"\[mask\]|\[=mask \d{1,2}\]")
"""Either placeholder."""
MOST_MASKS = 8
"""Largest number of masks of a task."""


def write_repeat(mask: int) -> str:
    """Return the placeholder of a mention. `mask`: number of its mask, counted from 0."""
    return f"[=mask {mask + 1}]"


class SpanKind(StrEnum):
    """Kind of a span."""

    ENTITY = "entity"
    DATE = "date"
    NUMBER = "number"
    TERM = "term"


class SpanSource(StrEnum):
    """Source of a span."""

    NER = "ner"
    LINK = "link"
    RULE = "rule"
    LLM = "llm"
    CUSTOM = "custom"
    """A function of the user (`masking.extractor_function`)."""
    IMPORTED = "imported"
    """The right answer of a row that was imported."""


class ClosedBook(Frozen):
    """Whether a language model fills a span without a search (`pipeline.masking.closed_book`)."""

    model: str
    """Name and revision of the model."""
    known: bool
    """Whether it does."""


class Span(Frozen):
    """Stretch of a passage that can be hidden and asked for."""

    start: int
    """Offset of the first character in the passage's text."""
    end: int
    """Offset just past the last character in the passage's text."""
    text: str
    """Exactly `passage.text[start:end]`."""
    kind: SpanKind
    """Kind of the span."""
    label: str
    """Finer kind, as given by its source (PERSON, GPE, year, quantity, ...)."""
    source: SpanSource
    """Source of the span."""
    target: str | None
    """Title of the page that it links to, if it is a wikilink."""
    aliases: tuple[str, ...]
    """Alternative forms of the answer; never the text itself."""
    evidence: tuple[Evidence, ...] = ()
    """Other text of the corpus that gives it again, other pages first; empty where none was looked for."""
    passages: int | None = None
    """Passages of the corpus that hold all its words, its own included; None when there is no index."""
    difficulty: float | None = None
    """Estimated probability that only a search recovers it, 0 to 1 (`pipeline.masking.span_difficulty`)."""
    surprisal: float | None = None
    """Negative log-likelihood of the whole span, in nats; None when no language model was used."""
    perplexity: float | None
    """Perplexity per token: exp of the surprisal over its tokens; None when no language model was used."""
    closed_book: ClosedBook | None = None
    """Whether the scorer fills it without a search; None where it was not checked."""

    @property
    def forms(self) -> tuple[str, ...]:
        """Return all forms, its own text first, for comparison with an answer."""
        return (self.text, *self.aliases)


class ProposedSpan(Frozen):
    """Stretch of a passage that a language model proposes to hide."""

    start: int
    """Offset of the first character in the passage's text."""
    end: int
    """Offset just past the last character in the passage's text."""
    kind: SpanKind
    """Kind, as given by the model."""


class Proposals(Record):
    """Proposals of a language model for one passage; every stretch appears verbatim in it."""

    dataset: ClassVar[str] = "proposals"
    id_field: ClassVar[str] = "passage_id"
    references: ClassVar[dict[str, str]] = {"passage_id": "passages"}

    passage_id: str
    """The passage."""
    spans: tuple[ProposedSpan, ...]
    """In document order, none twice."""
    model: str
    """Name of the model."""
    prompts: tuple[str, ...]
    """Digests of the prompt templates used."""


class SpanSet(Record):
    """Spans of one passage that passed every filter, in document order, never overlapping."""

    dataset: ClassVar[str] = "spans"
    id_field: ClassVar[str] = "passage_id"
    references: ClassVar[dict[str, str]] = {"passage_id": "passages"}

    passage_id: str
    """Passage of the spans."""
    spans: tuple[Span, ...]
    """Every span that may be masked."""
    scorer: str | None
    """Name and revision of the language model that gave the surprisals."""


class AnswerStyle(StrEnum):
    """Form of the answer that the solver is asked for."""

    SPANS = "spans"
    PARAGRAPH = "paragraph"


class Mention(Frozen):
    """Another mention of a hidden span, which is hidden too (`masking.hide_mentions`)."""

    mask: int
    """Number of the span's mask, counted from 0."""
    text: str
    """What its placeholder stands for."""


class MaskTask(Record):
    """Passage with one to `MOST_MASKS` hidden spans, to be recovered by searching; or an imported question."""

    dataset: ClassVar[str] = "tasks"
    id_field: ClassVar[str] = "task_id"
    references: ClassVar[dict[str, str]] = {"passage_id": "spans"}

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
    """The page's title, mentions hidden."""
    section: tuple[str, ...]
    """Headings above the passage, mentions hidden."""
    masked_text: str
    """The passage with each span replaced by `MASK`, and each hidden mention by `[=mask N]`."""
    spans: tuple[Span, ...]
    """The hidden spans, in document order: gold, never shown to a solver."""
    mask_count: int
    """Number of hidden spans, equal to the occurrences of `MASK` in the text."""
    answer_style: AnswerStyle
    """Form of the answer that the solver is asked for; scores refer to spans in either case."""
    difficulty: float | None
    """Mean difficulty of the hidden spans; None when they have none."""
    searches: int | None = None
    """Queries that the oracle sent until it had found evidence for every mask (`masking.reachable`); None where it did
    not play."""
    pages: int | None = None
    """Different pages of that evidence."""
    rivals: int | None = None
    """Most rival answers of a mask (`MaskReach.rivals`); None where one is unknown."""
    mentions: tuple[Mention, ...] = ()
    """What stands behind the placeholders of mentions, in the order of title, headings and passage."""

    kind: QuestionKind = QuestionKind.RAMP
    """Masks of a passage, or a question: then `masked_text` is the question, and on the next line the one mask."""

    @property
    def asked(self) -> str:
        """Return what a solver is asked to complete: the passage with its masks, or the question alone."""
        return self.masked_text.removesuffix(f"\n{MASK}") if self.kind is QuestionKind.QA else self.masked_text

    @property
    def page_title(self) -> str:
        """Return the page's title, nothing hidden."""
        forms = iter(self.mentions)
        return REPEAT.sub(lambda match: form.text if (form := next(forms, None)) else match[0], self.title)

    def fill(self, answers: tuple[str, ...] | list[str]) -> str:
        """Fill each mask with one answer, and its mentions too; the gold texts restore the passage byte for byte.

        Raises ValueError when there are not exactly `mask_count` answers.
        """
        pieces = self.masked_text.split(MASK)
        if len(answers) != len(pieces) - 1:
            raise ValueError(f"{len(pieces) - 1} masks but {len(answers)} answers")
        forms = iter(self.mentions[len(REPEAT.findall(" ".join((self.title, *self.section)))) :])

        def repeat(match: re.Match[str]) -> str:
            form, mask = next(forms, None), int(match[1]) - 1
            if not 0 <= mask < len(answers):
                return match[0]
            return form.text if form and answers[mask] == self.spans[mask].text else answers[mask]

        pieces = [REPEAT.sub(repeat, piece) for piece in pieces]
        return "".join(piece + answer for piece, answer in zip(pieces, [*answers, ""], strict=True))
