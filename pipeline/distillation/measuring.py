"""What a round came to, read from its shards: counts, acceptance by masks, why attempts were not kept, validation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from pipeline.distillation.diversity import list_counts
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.config import StageName
from schemas.judgements import Judgement, Verdict
from schemas.rounds import MaskAcceptance, NamedCount, ValidationFigures


@dataclass(frozen=True, slots=True)
class RoundCounts:
    """How the attempts of a round ended: fields of its record."""

    attempts: int = 0
    unfinished: int = 0
    correct: int = 0
    accepted: int = 0
    rejects: tuple[NamedCount, ...] = ()
    by_masks: tuple[MaskAcceptance, ...] = ()

    def as_fields(self) -> dict[str, Any]:
        """By name."""
        return {name: getattr(self, name) for name in self.__slots__}


def count_round(run: RunFolder) -> RoundCounts:
    """Count a run; one that is not judged has no attempts."""
    if run.find_manifest(StageName.JUDGEMENTS) is None:
        return RoundCounts()
    attempts: Counter[int] = Counter()
    accepted: Counter[int] = Counter()
    reasons = count_unfinished(run)
    unfinished, correct = reasons.total(), 0
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        for row in read_rows(run.part(Judgement.dataset, shard.shard, ""), Judgement):
            masks = len(row.scores)
            attempts[masks] += 1
            accepted[masks] += row.accepted
            correct += row.verdict is Verdict.CORRECT
            if row.reject_reason:
                reasons[row.reject_reason] += 1
    by_masks = (MaskAcceptance(masks=k, attempts=attempts[k], accepted=accepted[k]) for k in sorted(attempts))
    return RoundCounts(
        attempts=attempts.total(),
        unfinished=unfinished,
        correct=correct,
        accepted=accepted.total(),
        rejects=list_counts(reasons),
        by_masks=tuple(by_masks),
    )


def count_unfinished(run: RunFolder) -> Counter[str]:
    """Attempts that never became a trajectory, or that nobody could judge, by reason."""
    reasons: Counter[str] = Counter()
    for shard in run.manifest(StageName.TRAJECTORIES).shards:
        for step in shard.funnel:
            if step.unit == "trajectory" and not step.compares:
                reasons.update(step.rejected)
    return reasons


def measure_validation(run: RunFolder) -> ValidationFigures:
    """Means over all attempts of a judged run; those that never came to an end count 0."""
    rows = 0
    recall = exact = f1 = 0.0
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        for row in read_rows(run.part(Judgement.dataset, shard.shard, ""), Judgement):
            rows, recall, exact, f1 = rows + 1, recall + row.recall, exact + row.exact, f1 + row.f1
    asked = rows + count_unfinished(run).total()
    most = max(asked, 1)
    return ValidationFigures(questions=asked, finished=rows, recall=recall / most, exact=exact / most, f1=f1 / most)
