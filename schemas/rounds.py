"""Rounds of self-distillation: the plan of a round's tasks, and the record of its results. (`distill_config` defines a
round.)
"""

from __future__ import annotations

from typing import ClassVar

from schemas.exports import Split
from schemas.record import Frozen, Record


class RoundPlan(Frozen):
    """Task plan of a run folder (`round/plan.json`): which tasks the run makes of its spans."""

    number: int
    """Number of the round; -1 for validation tasks."""
    tasks: int
    """Tasks requested."""
    split: Split
    """Split of the pages that they are made from."""
    share: float
    """Share of the pages held out for validation."""
    shares: dict[str, int]
    """Tasks requested of each shard, in proportion to its remaining supply."""
    used: str
    """Digest of the list of spans hidden in earlier rounds, which lies beside this file."""


class NamedCount(Frozen):
    """Count of one category."""

    name: str
    """Name of the category."""
    count: int
    """Number of occurrences."""


class MaskAcceptance(Frozen):
    """Outcome of attempts at tasks with one number of masks."""

    masks: int
    """Number of masks."""
    attempts: int
    """Attempts judged."""
    accepted: int
    """Attempts accepted."""


class DiversityFigures(Frozen):
    """Diversity of a round's trajectories. Texts are those of accepted ones; a share without data is None."""

    distinct_1: float | None
    """Distinct words among a thousand of the thoughts, as a share: the mean over blocks, so that rounds of any size are
    comparable."""
    distinct_2: float | None
    """Distinct word pairs, computed likewise."""
    distinct_3: float | None
    """Distinct word triples, computed likewise."""
    query_distinct_2: float | None
    """Distinct word pairs among a thousand words of the queries."""
    queries_distinct: float | None
    """Share of the queries that are distinct."""
    duplicates: float | None
    """Share of all attempts whose thoughts, queries and answers repeat those of another attempt of the round."""
    drift: float | None
    """Drift of the thoughts' vocabulary since the previous round: Jensen-Shannon divergence in bits, 0 to 1."""
    searches: tuple[NamedCount, ...]
    """Attempts by their number of search calls."""
    turns: tuple[NamedCount, ...]
    """Attempts by their number of turns."""
    kinds: tuple[NamedCount, ...]
    """Masks of accepted attempts by kind."""


class ValidationFigures(Frozen):
    """Validation results of a teacher. An unfinished attempt counts as 0 in each mean."""

    questions: int
    """Tasks or questions, each counted once per attempt."""
    finished: int
    """Attempts that ended with an answer to judge."""
    recall: float
    """Mean token recall."""
    exact: float
    """Share of exact answers."""
    f1: float
    """Mean token F1."""


class TeacherTraining(Frozen):
    """Training of a teacher."""

    rows: int
    """Rows."""
    steps: int
    """Optimiser steps."""
    first_loss: float | None
    """Loss of the first logged step."""
    last_loss: float | None
    """Loss of the last logged step."""
    tokens_per_second: float
    """Training throughput."""


class StepSeconds(Frozen):
    """Duration of one step of the round, over all its completed sessions."""

    step: str
    """tasks, join, train, serve, validate, trajectories, judgements, measure, other."""
    seconds: float
    """Wall time."""


class RoundRecord(Record):
    """Record of one round of self-distillation, written at its end."""

    dataset: ClassVar[str] = "rounds"
    id_field: ClassVar[str] = "round_id"

    round_id: str
    """Hash of the manifests that the round was made from and of its own judgements."""
    number: int
    """The round, from 0."""
    policy: str
    """Solver of the tasks: `agents`, `extractive` or `teacher-r<N>`."""
    inputs: tuple[str, ...]
    """Digests of the judgements that its teacher was trained on."""
    base: str | None
    """Model that the teacher was trained from; None in round 0."""
    checkpoint: str | None
    """Folder of the teacher trained in this round, relative to the distillation's folder; None in round 0."""
    training: TeacherTraining | None
    """Training of the teacher; None in round 0."""
    mask_counts: tuple[int, ...]
    """Numbers of masks requested."""
    wanted: int
    """Tasks requested."""
    tasks: int
    """Tasks made."""
    attempts: int
    """Attempts judged."""
    unfinished: int
    """Attempts that did not become a trajectory."""
    correct: int
    """Attempts with every answer correct."""
    accepted: int
    """Attempts accepted."""
    rejects: tuple[NamedCount, ...]
    """Attempts not accepted, by reason."""
    by_masks: tuple[MaskAcceptance, ...]
    """Acceptance by number of masks."""
    diversity: DiversityFigures
    """Diversity of the trajectories."""
    validation: ValidationFigures | None
    """Validation results of the teacher of this round; in round 0, of the base model."""
    regression: float | None
    """Loss of validation recall against the best teacher, where it counts as a regression."""
    seconds: tuple[StepSeconds, ...]
    """Wall time by step."""
    overhead: float
    """Share of the wall time spent on neither language models nor training nor search."""
    tokens: int
    """Tokens of language models called."""
    cost: float
    """Cost of these calls."""
    stop: str | None
    """Reason why the loop ended after this round; None where it continued."""

    @property
    def accept_rate(self) -> float:
        """Return the share of attempts that were accepted; an attempt that did not become a trajectory counts."""
        tried = self.attempts + self.unfinished
        return self.accepted / tried if tried else 0.0
