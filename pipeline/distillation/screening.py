"""Tasks of a round that give away a question of a benchmark are dropped where they are made, before anyone attempts
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pipeline.decontamination.filtering import STAGE, drop_overlapping
from pipeline.decontamination.overlap import QuestionIndex
from pipeline.masking.task_stage import SpannedPassage
from pipeline.stage import Outcome, Stage
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record
from schemas.tasks import MaskTask


class ScreenedTasks:
    """The stage that makes tasks; what it makes is held against the questions."""

    whole_shard = True

    def __init__(self, stage: Stage[SpannedPassage], index: QuestionIndex) -> None:
        self._stage, self._index = stage, index

    def run(self, inputs: Iterable[SpannedPassage]) -> Iterator[Outcome]:
        """Each outcome, with a reject in the place of a task that overlaps a question."""
        for outcome in self._stage.run(inputs):
            tasks = [row for row in outcome.rows if isinstance(row, MaskTask)]
            if not tasks:
                yield outcome
                continue
            others: list[Record] = [row for row in outcome.rows if not isinstance(row, MaskTask)]
            screened: list[MaskTask | Reject] = list(drop_overlapping(tasks, self._index))
            reasons = Counter(row.reason for row in screened if isinstance(row, Reject))
            passed = len(tasks) - reasons.total()
            step = FunnelStep(stage=STAGE, unit="task", entered=len(tasks), passed=passed, rejected=dict(reasons))
            yield Outcome(outcome.key, (*others, *screened), (*outcome.funnel, step))
