"""Labelled answers: answers with the verdict a person gave, to calibrate judges with.

The file format is JSON Lines, UTF-8, one `LabelledAnswer` a line. `rampforge calibrate --pairs FILE` reads it, and
reviews are exported to it. Fields without a default are required:

    {"lang": "en", "title": "Skarn Point", "masked_text": "The light on Skarn Point was built by [mask].",
     "gold": "Ada Merrow", "answer": "A. Merrow", "verdict": "correct"}
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.tasks import MASK, SpanKind


class LabelledAnswer(Frozen):
    """Answer to one gap, with the verdict that a person gave."""

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
    """Text that was hidden."""
    aliases: tuple[str, ...] = ()
    """Alternative forms of the gold."""
    kind: SpanKind = SpanKind.TERM
    """Kind of the gold: entity, date, number or term."""
    answer: str
    """The answer; may be empty."""
    verdict: Literal["correct", "incorrect"]
    """Verdict that a judge should give."""
    category: str = "reviewed"
    """Category of the answer, for the table: right, wrong, hedged, empty, undetermined, junk, or a custom one."""
    source: str = ""
    """Origin of the answer, such as a trajectory's id."""
    note: str = ""
    """Reason for the verdict, as given by the labeller."""

    @model_validator(mode="after")
    def _has_its_gap(self) -> Self:
        if self.masked_text.count(MASK) <= self.mask:
            raise ValueError(f"masked_text has no gap number {self.mask}: write {MASK} where the gold stood")
        return self
