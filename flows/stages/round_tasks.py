"""The tasks of a round of a distillation: the plan in the round's run folder, and the stage that follows it.

A run folder without `round/plan.json` makes its tasks as any run does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.configuration.run_context import RunContext
from flows.stages.inputs import share_out
from flows.stages.span_resources import open_ambiguity, open_tokenizer
from pipeline.stage import Stage
from pipeline.storage.files import write_atomically
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.exports import Split
from schemas.passages import Passage
from schemas.record import content_id
from schemas.rounds import RoundPlan
from schemas.tasks import SpanSet

if TYPE_CHECKING:
    from flows.exporting.decontamination import Screen


def locate_plan(run: RunFolder) -> Path:
    """The file of the plan."""
    return run.root / "round" / "plan.json"


def locate_used(run: RunFolder) -> Path:
    """The file of the spans that earlier rounds have hidden."""
    return run.root / "round" / "used.parquet"


def find_plan(run: RunFolder) -> RoundPlan | None:
    """The plan of a round; None for a run that is not one."""
    path = locate_plan(run)
    return RoundPlan.model_validate_json(path.read_bytes()) if path.exists() else None


def write_plan(
    run: RunFolder, number: int, tasks: int, mask_counts: Sequence[int], share: float, earlier: Sequence[RunFolder]
) -> RoundPlan:
    """Plan the tasks of a run whose spans are there; a plan that is there stays.

    `number`: the round, -1 for the tasks of validation; `share`: of the pages, set apart for those; `earlier`: runs
    whose spans may not be hidden again.
    """
    from pipeline.distillation.freshness import count_capacity, write_used

    found = find_plan(run)
    if found is not None:
        return found
    used = locate_used(run)
    digest = write_used(earlier, used)
    split = Split.VALIDATION if number < 0 else Split.TRAIN
    shards = [commit.shard for commit in run.manifest(StageName.SPANS).shards]
    able = [
        count_capacity(
            run.part(SpanSet.dataset, shard, StageName.SPANS),
            run.part(Passage.dataset, shard, StageName.DEDUP),
            used,
            split,
            share,
            min(mask_counts),
        )
        for shard in shards
    ]
    shares = dict(zip(shards, share_out(min(tasks, sum(able)), able), strict=True))
    plan = RoundPlan(number=number, tasks=tasks, split=split, share=share, shares=shares, used=digest)
    write_atomically(locate_plan(run), plan.model_dump_json(indent=1).encode())
    return plan


def round_facts(context: RunContext) -> Mapping[str, str]:
    """What decides a round's tasks besides the configuration."""
    plan = find_plan(context.run)
    if plan is None:
        return {}
    screen = _open_screen(context)
    return {"round": plan.model_dump_json(), **({"screen": ", ".join(screen.names)} if screen else {})}


def open_fresh(context: RunContext, shard: str, plan: RoundPlan) -> Stage[Any]:
    """Spans to tasks that no earlier round has met, and that give away no question of a benchmark."""
    from pipeline.distillation.freshness import FreshTasks, read_used
    from pipeline.masking.task_stage import TaskStage

    used = read_used(locate_used(context.run), context.run.part(Passage.dataset, shard, StageName.DEDUP))
    # Another draw each round: otherwise the same passages would come first again and again.
    seed = int(content_id("round", context.config.seed, plan.number)[:8], 16)
    screen = _open_screen(context)
    quota, tokenize, ambiguity = plan.shares.get(shard, 0), open_tokenizer(context), open_ambiguity(context)
    stage = TaskStage(context.config.masking, seed, quota, tokenize, ambiguity)
    return FreshTasks(stage, plan, used, screen.index if screen else None)


def _open_screen(context: RunContext) -> Screen | None:
    if not context.config.decontamination.benchmarks:
        return None
    from flows.exporting.decontamination import open_screen

    return open_screen(context.config.decontamination, context.cache)
