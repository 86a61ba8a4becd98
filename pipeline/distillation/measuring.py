"""Results of a round, read from its shards: counts, acceptance by masks, reject reasons, validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from pipeline.distillation.diversity import list_counts
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from schemas.config import StageName
from schemas.judgements import Judgement, Verdict
from schemas.rounds import MaskAcceptance, ValidationFigures


def count_round(run: RunFolder) -> dict[str, Any]:
    """Outcomes of a run's attempts, as fields of the round's record; all zero before judging."""
    judged = run.find_manifest(StageName.JUDGEMENTS) is not None
    reasons = count_unfinished(run) if judged else Counter[str]()
    unfinished, correct = reasons.total(), 0
    attempts, accepted = Counter[int](), Counter[int]()
    for row in _read_judgements(run) if judged else ():
        masks = len(row.scores)
        attempts[masks] += 1
        accepted[masks] += row.accepted
        correct += row.verdict is Verdict.CORRECT
        if row.reject_reason:
            reasons[row.reject_reason] += 1
    by_masks = (MaskAcceptance(masks=k, attempts=attempts[k], accepted=accepted[k]) for k in sorted(attempts))
    return {
        "attempts": attempts.total(),
        "unfinished": unfinished,
        "correct": correct,
        "accepted": accepted.total(),
        "rejects": list_counts(reasons),
        "by_masks": tuple(by_masks),
    }


def _read_judgements(run: RunFolder) -> Iterator[Judgement]:
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        yield from read_rows(run.part(Judgement.dataset, shard.shard, ""), Judgement)


def count_unfinished(run: RunFolder) -> Counter[str]:
    """Attempts without a trajectory, by reason."""
    reasons: Counter[str] = Counter()
    for shard in run.manifest(StageName.TRAJECTORIES).shards:
        for step in shard.funnel:
            if step.unit == "trajectory" and not step.compares:
                reasons.update(step.rejected)
    return reasons


def measure_validation(run: RunFolder) -> ValidationFigures:
    """Means over all attempts of a judged run; unfinished attempts count 0."""
    rows = 0
    recall = exact = f1 = 0.0
    for row in _read_judgements(run):
        rows, recall, exact, f1 = rows + 1, recall + row.recall, exact + row.exact, f1 + row.f1
    total = rows + count_unfinished(run).total()
    count = max(total, 1)
    return ValidationFigures(questions=total, finished=rows, recall=recall / count, exact=exact / count, f1=f1 / count)
