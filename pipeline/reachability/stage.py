"""Stage that keeps the tasks that the oracle can finish.

Which spans are hidden is decided for a whole shard, cheaply; each task is then played by itself, so that a killed run
plays no task again. Guarantees: a task that the oracle does not finish is rejected as `unreachable`; every task has a
row of what the oracle did with it; the same inputs give the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.llm.event_loop import gather_all
from pipeline.masking.task_stage import SpannedPassage
from pipeline.reachability.play import OraclePlayer
from pipeline.stage import Outcome
from schemas.config import StageName
from schemas.funnel import FunnelStep, Reject
from schemas.reachability import Reachability
from schemas.record import Record
from schemas.tasks import MaskTask

UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class ReachabilityStage:
    """Plays the tasks of each passage of a shard."""

    made: Mapping[str, Outcome]
    """What the spans of the shard's passages were made into, by passage."""
    player: OraclePlayer

    async def work(self, item: SpannedPassage) -> Outcome:
        """The outcome of one passage. Raises as `OraclePlayer.play` does."""
        outcome = self.made[item.key]
        tasks = [row for row in outcome.rows if isinstance(row, MaskTask)]
        if not tasks:
            return outcome
        plays = await gather_all(map(self.player.play, tasks))
        rows: list[Record] = [row for row in outcome.rows if not isinstance(row, MaskTask)]
        for task, play in zip(tasks, plays, strict=True):
            rows += [play, _keep(task, play) if play.reached else _reject(task, play)]
        passed = sum(play.reached for play in plays)
        lost = {UNREACHABLE: len(plays) - passed} if passed < len(plays) else {}
        step = FunnelStep.count(StageName.TASKS, "task", passed, lost)
        return Outcome(outcome.key, tuple(rows), (*outcome.funnel, step))


def _keep(task: MaskTask, play: Reachability) -> MaskTask:
    rivals = [mask.rivals for mask in play.masks]
    most = max((count for count in rivals if count is not None), default=None)
    update = {"searches": play.searches, "pages": play.pages, "rivals": None if None in rivals else most}
    return task.model_copy(update=update)


def _reject(task: MaskTask, play: Reachability) -> Reject:
    missing = ", ".join(str(mask.mask + 1) for mask in play.masks if mask.passage_id is None)
    detail = f"{task.title}: no evidence in {play.searches} searches for mask {missing} of {task.mask_count}"
    return Reject(stage=StageName.TASKS, unit="task", input_id=task.task_id, reason=UNREACHABLE, detail=detail)
