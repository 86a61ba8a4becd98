"""Labelled answers: what a judge should say of an answer, as a person has said it.

A file of them is JSON Lines, UTF-8, one `LabelledAnswer` a line. `rampforge calibrate --pairs FILE` reads it, and
reviews are exported to it. The fields without a default must be there:

    {"lang": "en", "title": "Skarn Point", "masked_text": "The light on Skarn Point was built by [mask].",
     "gold": "Ada Merrow", "answer": "A. Merrow", "verdict": "correct"}
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.tasks import MASK, SpanKind


class LabelledAnswer(Frozen):
    """One answer to one gap, and the verdict that it deserves."""

    lang: str = Field(pattern=r"^[a-z]{2,3}(-[a-z]+)?$")
    """Language code of the passage."""
    title: str
    """Title of the page."""
    section: tuple[str, ...] = ()
    """Headings above the passage."""
    masked_text: str
    """The passage, with `[mask]` in each gap."""
    mask: int = Field(default=0, ge=0)
    """The gap that is answered, counted from 0."""
    gold: str = Field(min_length=1)
    """What stood in it."""
    aliases: tuple[str, ...] = ()
    """Other ways to write the gold."""
    kind: SpanKind = SpanKind.TERM
    """What the gold names: entity, date, number or term."""
    answer: str
    """The answer; may be empty."""
    verdict: Literal["correct", "incorrect"]
    """What a judge should say of it."""
    category: str = "reviewed"
    """What sort of answer it is, for the table: right, wrong, hedged, empty, undetermined, junk, or a word of yours."""
    source: str = ""
    """Where it comes from, such as a trajectory's id."""
    note: str = ""
    """Why it deserves its verdict, in the words of whoever said so."""

    @model_validator(mode="after")
    def _has_its_gap(self) -> Self:
        if self.masked_text.count(MASK) <= self.mask:
            raise ValueError(f"masked_text has no gap number {self.mask}: write {MASK} where the gold stood")
        return self
