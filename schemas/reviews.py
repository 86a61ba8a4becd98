"""Reviews: verdicts of people on attempts."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from schemas.record import Record

NOTE_CHARS = 2_000


class ReviewMark(StrEnum):
    """Verdict of a reviewer."""

    GOOD = "good"
    BAD = "bad"


class Review(Record):
    """Review of one attempt."""

    dataset: ClassVar[str] = "reviews"
    id_field: ClassVar[str] = "trajectory_id"

    trajectory_id: str
    """Trajectory of the attempt."""
    mark: ReviewMark
    """Good or bad."""
    note: str = Field(max_length=NOTE_CHARS)
    """Reason; may be empty. `mask 2` in it says which answer of a bad attempt is wrong."""
    reviewer: str
    """Name of the reviewer; may be empty."""
    at: str
    """Time of the review, ISO 8601 in UTC."""
