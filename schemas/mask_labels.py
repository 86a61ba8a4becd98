"""Labels of masks: what a reader says of one mask, without any text of its passage.

A file of them is JSON Lines, UTF-8, one `MaskLabel` a line: the page, the passage and the offsets say which mask is
meant, and `passage_digest` whether a corpus still holds the passage as it was read. One row for a rater and a mask.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.tasks import SpanKind, SpanSource

RATER_CHARS = 80
RATER = "^[^\\s\\x00-\\x1f\\x7f](?:[^\\x00-\\x1f\\x7f\u2028\u2029]*[^\\s\\x00-\\x1f\\x7f])?$"
"""Names of raters: one line, without space at their ends."""


class NeedsCode(StrEnum):
    """What a well-read person needs to fill the mask."""

    SEARCH = "search"
    """To look the fact up."""
    GENERAL_KNOWLEDGE = "general_knowledge"
    """General knowledge, or a sense of the language."""
    GIVEN_AWAY = "given_away"
    """Only the task itself: the passage, its title or its headings tell the answer."""


class FillingsCode(StrEnum):
    """How many answers are right."""

    ONE = "one"
    """One thing, whatever it is called."""
    MANY = "many"
    """Several different things are as right."""
    ARBITRARY = "arbitrary"
    """The author's choice of words or of a moment; no source settles it."""


class UnitCode(StrEnum):
    """Whether what is hidden is a whole, sensible unit."""

    GOOD = "good"
    """One whole name, date, number or term."""
    BAD = "bad"
    """A part of one, two in one, or a phrase that names nothing."""


class AliasesCode(StrEnum):
    """Whether the other forms that count as right are right."""

    OK = "ok"
    """Each names the same thing, and no usual form is missing."""
    WRONG = "wrong"
    """One names another thing."""
    MISSING = "missing"
    """None is wrong, but a usual form is missing."""


class MaskCodes(Frozen):
    """What one rater says of a mask."""

    needs: NeedsCode
    """What one needs to fill it."""
    fillings: FillingsCode | None = None
    """How many answers are right; None where it was not asked."""
    unit: UnitCode
    """Whether it is a whole, sensible unit."""
    aliases: AliasesCode | None = None
    """Whether its aliases are right; None where it was not asked."""
    alias_codes: dict[str, Literal["ok", "wrong"]] = Field(default_factory=dict)
    """Each alias by itself; empty where there is none, or only `aliases` was asked."""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.alias_codes and (self.aliases == AliasesCode.WRONG) != ("wrong" in self.alias_codes.values()):
            raise ValueError('aliases is "wrong" exactly where one of alias_codes is "wrong"')
        return self


class MaskLabel(MaskCodes):
    """Codes of one rater for one mask, and where the mask is."""

    task_id: str
    """Task whose masks were hidden together."""
    passage_id: str
    """Passage of the task."""
    document_id: str
    """Page of the passage."""
    page_id: int
    """The page's number in its wiki."""
    lang: str
    """Language code."""
    title: str
    """The page's title."""
    start: int
    """Offset of the first character in the passage's text."""
    end: int
    """Offset just past the last character in the passage's text."""
    passage_digest: str
    """Hash of the passage's text as it was read."""
    kind: SpanKind
    """Kind of the span."""
    label: str
    """Finer kind, as given by its source."""
    source: SpanSource
    """Source of the span."""
    fillings: FillingsCode
    """How many answers are right."""
    aliases: AliasesCode
    """Whether its aliases are right."""
    rater: str = Field(max_length=RATER_CHARS, pattern=RATER)
    """Name of the rater."""
    at: str
    """Time of the label, ISO 8601 in UTC."""

    @property
    def mask(self) -> str:
        """Return the mask's name, the same for every rater."""
        return name_mask(self.task_id, self.start, self.end)


def name_mask(task_id: str, start: int, end: int) -> str:
    """Return the name of a mask: its task and its offsets in the passage."""
    return f"{task_id}:{start}-{end}"
