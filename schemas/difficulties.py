"""Measured difficulty: how often a task is solved with search, and how often without."""

from __future__ import annotations

from typing import ClassVar

from schemas.record import Record


class Difficulty(Record):
    """Outcome of the attempts at one task."""

    dataset: ClassVar[str] = "difficulties"
    id_field: ClassVar[str] = "task_id"
    references: ClassVar[dict[str, str]] = {"task_id": "tasks"}

    task_id: str
    """The task."""
    searched: int
    """Attempts with search that were judged."""
    solved: int
    """Of these, attempts that were accepted."""
    closed: int
    """Attempts without search that were answered."""
    known: int
    """Of these, attempts with every answer correct: the model knows the task by heart."""

    @property
    def pass_rate(self) -> float | None:
        """Share of the attempts with search that were accepted; None when there were none."""
        return self.solved / self.searched if self.searched else None

    @property
    def known_rate(self) -> float | None:
        """Share of the attempts without search that were correct; None when there were none."""
        return self.known / self.closed if self.closed else None
