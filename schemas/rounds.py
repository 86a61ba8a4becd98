"""What a round of self-distillation is told, and what it leaves behind. (`distill_config` says what a round is.)"""

from __future__ import annotations

from typing import ClassVar

from schemas.exports import Split
from schemas.record import Frozen, Record


class RoundPlan(Frozen):
    """`round/plan.json` of a run folder: which tasks this run makes of the spans that lie there."""

    number: int
    """The round; -1 for the tasks of validation."""
    tasks: int
    """Tasks wanted."""
    split: Split
    """Which pages they are made from."""
    share: float
    """Share of the pages that are set apart for validation."""
    shares: dict[str, int]
    """Tasks wanted of each shard: in proportion to what it can still give."""
    used: str
    """Digest of the spans that earlier rounds hid, which lie beside this file."""


class NamedCount(Frozen):
    """How often something came."""

    name: str
    """What."""
    count: int
    """How often."""


class MaskAcceptance(Frozen):
    """How attempts at tasks with so many masks ended."""

    masks: int
    """How many masks."""
    attempts: int
    """How many attempts were judged."""
    accepted: int
    """How many were accepted."""


class DiversityFigures(Frozen):
    """How varied a round's trajectories are. Texts are those of accepted ones; a share is None where there is none."""

    distinct_1: float | None
    """Distinct words among a thousand of the thoughts, as a share: the mean over blocks, so that rounds of any size
    compare."""
    distinct_2: float | None
    """The same of pairs of words."""
    distinct_3: float | None
    """The same of triples."""
    query_distinct_2: float | None
    """Distinct pairs of words among a thousand of the queries."""
    queries_distinct: float | None
    """Share of the queries that are the first of their wording."""
    duplicates: float | None
    """Share of all attempts whose thoughts, queries and answers repeat another's of the round."""
    drift: float | None
    """How far the thoughts' words are from those of the round before: Jensen-Shannon divergence in bits, 0 to 1."""
    searches: tuple[NamedCount, ...]
    """Attempts by their number of search calls."""
    turns: tuple[NamedCount, ...]
    """Attempts by their number of turns."""
    kinds: tuple[NamedCount, ...]
    """Masks of accepted attempts by what they name."""


class ValidationFigures(Frozen):
    """How the teacher did on what was held out. An attempt that never finished counts 0 in each mean."""

    questions: int
    """How many tasks or questions, each as often as it was attempted."""
    finished: int
    """How many of them ended with an answer to judge."""
    recall: float
    """Mean token recall."""
    exact: float
    """Share of exact answers."""
    f1: float
    """Mean token F1."""


class TeacherTraining(Frozen):
    """What the teacher was trained on."""

    rows: int
    """Rows."""
    steps: int
    """Optimiser steps."""
    first_loss: float | None
    """Loss of the first logged step."""
    last_loss: float | None
    """Loss of the last one."""
    tokens_per_second: float
    """Speed."""


class StepSeconds(Frozen):
    """How long a step of the round took, over all its sessions that came to an end."""

    step: str
    """tasks, join, train, serve, validate, trajectories, judgements, measure, other."""
    seconds: float
    """Wall time."""


class RoundRecord(Record):
    """One round of self-distillation, written when it is over."""

    dataset: ClassVar[str] = "rounds"
    id_field: ClassVar[str] = "round_id"

    round_id: str
    """Hash of the manifests that the round was made from and of its own judgements."""
    number: int
    """The round, from 0."""
    policy: str
    """Who attempted the tasks: `agents`, `extractive` or `teacher-r<N>`."""
    inputs: tuple[str, ...]
    """Digests of the judgements of the rounds that its teacher was trained on."""
    base: str | None
    """What the teacher was trained from; None in round 0."""
    checkpoint: str | None
    """Folder of the teacher trained in this round, within the distillation's; None in round 0."""
    training: TeacherTraining | None
    """Its training; None in round 0."""
    mask_counts: tuple[int, ...]
    """Numbers of masks asked for."""
    wanted: int
    """Tasks wanted."""
    tasks: int
    """Tasks made."""
    attempts: int
    """Attempts judged."""
    unfinished: int
    """Attempts that never became a trajectory."""
    correct: int
    """Attempts with every answer right."""
    accepted: int
    """Attempts kept."""
    rejects: tuple[NamedCount, ...]
    """Why the others were not, by reason."""
    by_masks: tuple[MaskAcceptance, ...]
    """Acceptance by number of masks."""
    diversity: DiversityFigures
    """How varied they are."""
    validation: ValidationFigures | None
    """How the teacher of this round did on what was held out; in round 0 the base model."""
    regression: float | None
    """How much less validation recall than the best before it the teacher has, where that is too much."""
    seconds: tuple[StepSeconds, ...]
    """Wall time by step."""
    overhead: float
    """Share of the wall time that went into neither language models nor training nor search."""
    tokens: int
    """Tokens of language models that were called."""
    cost: float
    """Money spent on them."""
    stop: str | None
    """Why the loop ended after this round; None where it went on."""

    @property
    def accept_rate(self) -> float:
        """Share of the attempts that were kept; one that never became a trajectory counts."""
        tried = self.attempts + self.unfinished
        return self.accepted / tried if tried else 0.0
