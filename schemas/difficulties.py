"""Measured difficulty: how often a task is solved with searching, and how often without."""

from __future__ import annotations

from typing import ClassVar

from schemas.record import Record


class Difficulty(Record):
    """What came of the attempts at one task."""

    dataset: ClassVar[str] = "difficulties"
    id_field: ClassVar[str] = "task_id"

    task_id: str
    """The task."""
    searched: int
    """Attempts with searching that got a verdict."""
    solved: int
    """Of these, how many the judge accepted."""
    closed: int
    """Attempts without searching that were answered."""
    known: int
    """Of these, how many gave every answer right: it is known by heart."""

    @property
    def pass_rate(self) -> float | None:
        """Share of the attempts with searching that were accepted; None when there was none."""
        return self.solved / self.searched if self.searched else None

    @property
    def known_rate(self) -> float | None:
        """Share of the attempts without searching that were right; None when there was none."""
        return self.known / self.closed if self.closed else None
