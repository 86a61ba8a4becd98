"""Reachability: what an oracle that knows golds and evidence did with a task."""

from __future__ import annotations

from typing import ClassVar

from schemas.record import Frozen, Record
from schemas.trajectories import HideMode, StopReason


class MaskReach(Frozen):
    """What the oracle found for one mask."""

    mask: int
    """Number of the mask, counted from 0 in document order."""
    passage_id: str | None
    """Passage of its evidence that was shown and holds the gold or an alias; None where none was."""
    other_passage_id: str | None
    """Passage that the same searches showed with the gold or an alias while all of its evidence was withheld; None
    where its evidence is needed, or was not found."""
    clues: int
    """Clues of that evidence (of the first, where none was found) that the task shows."""
    hidden_clues: int
    """Clues of that evidence that masks of the task hide."""
    rivals: int | None
    """Sentences elsewhere with the clues shown and another answer of its kind, as far as 48 passages were read; None
    without clues."""


class Reachability(Record):
    """One play of the oracle, at a task that was kept or rejected."""

    dataset: ClassVar[str] = "reachability"
    id_field: ClassVar[str] = "task_id"
    references: ClassVar[dict[str, str]] = {"passage_id": "spans"}

    task_id: str
    """The task; one that was not reached is in `rejects`, not in `tasks`."""
    passage_id: str
    """The passage it is made from."""
    mask_count: int
    """Number of its masks."""
    hide: HideMode
    """What the search engine withheld of the source."""
    reached: bool
    """Whether every mask was answered from its evidence within the turns."""
    stop_reason: StopReason
    """Reason for the end of the play."""
    turns: int
    """Steps taken."""
    searches: int
    """Queries sent until the evidence of every mask had been found; of a task that was not reached, all that were
    sent."""
    pages: int
    """Different pages of the evidence that was found."""
    masks: tuple[MaskReach, ...]
    """One for each mask, in document order."""
