"""Judgements: the verdict on a trajectory, and why it was kept or not."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.record import Frozen, Record


class Verdict(StrEnum):
    """Closed: nothing else is ever written. `error` is never a pass."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNJUDGEABLE = "unjudgeable"
    ERROR = "error"


class MaskScore(Frozen):
    """How close one answer came to the gold span or the best of its aliases."""

    mask: int
    """Which mask, counted from 0."""
    exact: bool
    """Equal after normalisation."""
    right: bool
    """Counts as right: equal, or near enough by the judge's rules."""
    f1: float
    """Token F1, bags of tokens, 0 to 1."""
    recall: float
    """Share of the gold tokens that stand in the answer, 0 to 1 (the paper's metric, on the span)."""
    fuzzy: float
    """Similarity of the characters, 0 to 1."""
    gold: str
    """The gold form it came closest to."""
    seen: bool
    """The gold, or an alias, stands in some passage that was shown."""


class SimulatedEvidence(Frozen):
    """The simulated documents that a trajectory was shown, none counted twice."""

    useful: int
    """Made to be useful."""
    useful_with_gold: int
    """Of these, how many hold a gold answer."""
    noisy: int
    """Made to be noise."""
    noisy_with_gold: int
    """Of these, how many hold a gold answer all the same."""


class Judgement(Record):
    """The verdict on one trajectory."""

    dataset: ClassVar[str] = "judgements"
    id_field: ClassVar[str] = "judgement_id"

    judgement_id: str
    """Hash of the trajectory id and the judge's settings."""
    trajectory_id: str
    """The trajectory judged."""
    task_id: str
    """The task it attempted."""
    verdict: Verdict
    """Are the answers right?"""
    judge: str
    """Who settled it: `rules`, or the name of a model."""
    reason: str
    """Why, in one sentence."""
    scores: tuple[MaskScore, ...]
    """One for each mask, in document order."""
    exact: float
    """Share of the masks with an exact answer."""
    f1: float
    """Mean F1 over the masks."""
    recall: float
    """Mean token recall over the masks."""
    format_ok: bool
    """The trajectory obeys the format's state machine."""
    format_reason: str | None
    """What broke the format."""
    answer_seen: bool
    """Every gold answer stands in some passage that was shown."""
    from_source_page: bool
    """Some passage that was shown comes from the task's own page."""
    leaked: bool = False
    """What was to be hidden was shown all the same: the source passage, or in mode `page` a part of its page."""
    copies_shown: int = 0
    """Near-copies of the source passage that were shown: other passages with half of its word triples."""
    simulated: SimulatedEvidence | None = None
    """What a simulated search engine showed and how much of it holds the gold; None when nothing was simulated."""
    accepted: bool
    """Kept for training."""
    reject_reason: str | None
    """Reason code, when not accepted."""
