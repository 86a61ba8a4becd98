"""What people say of attempts."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from schemas.record import Record

NOTE_CHARS = 2_000


class ReviewMark(StrEnum):
    """What was said."""

    GOOD = "good"
    BAD = "bad"


class Review(Record):
    """What was said of one attempt."""

    dataset: ClassVar[str] = "reviews"
    id_field: ClassVar[str] = "trajectory_id"

    trajectory_id: str
    """The attempt."""
    mark: ReviewMark
    """Good or bad."""
    note: str = Field(max_length=NOTE_CHARS)
    """Why; may be empty. `mask 2` in it says which answer of a bad attempt is wrong."""
    reviewer: str
    """Who said it; may be empty."""
    at: str
    """When, ISO 8601 in UTC."""
