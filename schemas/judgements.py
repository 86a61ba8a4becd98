"""Judgements: the verdict on a trajectory, and the reason for keeping or rejecting it."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.record import Frozen, Record


class Verdict(StrEnum):
    """Closed set of verdicts. `error` is never a pass."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    UNJUDGEABLE = "unjudgeable"
    ERROR = "error"


class MaskScore(Frozen):
    """Similarity of one answer to the gold span or the closest of its aliases."""

    mask: int
    """Number of the mask, counted from 0."""
    exact: bool
    """Equal after normalisation."""
    right: bool
    """Counts as correct: equal, or similar enough by the judge's rules."""
    f1: float
    """Token F1 over bags of tokens, 0 to 1."""
    recall: float
    """Share of the gold tokens that appear in the answer, 0 to 1 (the paper's metric, on the span)."""
    fuzzy: float
    """Character similarity, 0 to 1."""
    gold: str
    """Gold form closest to the answer."""
    seen: bool
    """Whether the gold or an alias appears in a passage that was shown."""


class SimulatedEvidence(Frozen):
    """Simulated documents shown in a trajectory, each counted once."""

    useful: int
    """Documents generated as useful."""
    useful_with_gold: int
    """Of these, documents that contain a gold answer."""
    noisy: int
    """Documents generated as noise."""
    noisy_with_gold: int
    """Of these, documents that contain a gold answer nevertheless."""


class ShownBy(StrEnum):
    """Kind of the passage that showed a gold answer."""

    SOURCE = "source"
    COPY = "copy"
    """A near-copy of the source passage."""
    OTHER = "other"


class MaskSignature(Frozen):
    """How the answer to one mask was found."""

    mask: int
    """Number of the mask, counted from 0."""
    shown_turn: int | None
    """First turn, counted from 1, in which a passage with the gold or an alias was shown; None if none was."""
    shown_by: ShownBy | None
    """What showed it then: the source if it was among the passages, else a copy, else another passage."""
    queried_before_shown: bool
    """Whether a query held the gold or an alias before a passage with it was shown."""
    support: int | None
    """Words of the gap's sentence, without those of the page's title, that a sentence with the answer shares in the
    passage cited; None for an answer that cites none."""


class AttemptSignature(Frozen):
    """How an attempt found its answers, whatever the verdict."""

    masks: tuple[MaskSignature, ...]
    """One for each mask, in document order."""
    shortcut: bool
    """Whether the source passage or a near-copy of it was shown."""
    co_covered: bool
    """Whether one passage shown holds all gold answers."""
    queries: int
    """Queries sent."""
    queries_until_shown: int | None
    """Queries up to the turn in which the last gold was first shown; None where one was never shown."""
    verbatim_queries: int
    """Queries that are a stretch of the masked text, its gaps closed."""
    clue_selectivity: int | None = None
    """Passages of the corpus that hold the rarest term of its queries: so few are left by the most selective clue
    alone. None without an index, or where no passage holds a term of them."""
    later_turns: int
    """Turns after the first that searched."""
    chained_turns: int
    """Of these, turns with a query that names what an earlier turn showed first and the task does not hold."""


class Judgement(Record):
    """Verdict on one trajectory."""

    dataset: ClassVar[str] = "judgements"
    id_field: ClassVar[str] = "judgement_id"
    references: ClassVar[dict[str, str]] = {"trajectory_id": "trajectories"}

    judgement_id: str
    """Hash of the trajectory id and the judge's settings."""
    trajectory_id: str
    """Id of the trajectory."""
    task_id: str
    """Id of its task."""
    verdict: Verdict
    """Whether the answers are correct."""
    judge: str
    """Source of the verdict: `rules`, or the name of a model."""
    reason: str
    """Reason, in one sentence."""
    scores: tuple[MaskScore, ...]
    """One for each mask, in document order."""
    exact: float
    """Share of the masks with an exact answer."""
    f1: float
    """Mean F1 over the masks."""
    recall: float
    """Mean token recall over the masks."""
    format_ok: bool
    """Whether the trajectory follows the format's state machine."""
    format_reason: str | None
    """Reason why the format is broken."""
    answer_seen: bool
    """Whether every gold answer appears in a passage that was shown."""
    from_source_page: bool
    """Whether a passage that was shown comes from the task's own page."""
    leaked: bool = False
    """Whether hidden content was shown: the source passage, or in mode `page` a part of its page."""
    copies_shown: int = 0
    """Near-copies of the source passage that were shown: other passages that share ten consecutive words with it."""
    simulated: SimulatedEvidence | None = None
    """Documents of a simulated search engine, and how many contain the gold; None when nothing was simulated."""
    signature: AttemptSignature
    """How the answers were found."""
    accepted: bool
    """Whether the trajectory is kept for training."""
    reject_reason: str | None
    """Reason code; None when accepted."""
