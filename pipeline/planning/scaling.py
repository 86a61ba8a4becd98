"""Extrapolation of a measured run to a whole wiki.

CPU work and files of each stage grow with words of prose, searched passages, or attempts. Pages are never the measure:
those of a sample may be longer than the average of the wiki.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.errors import ConfigError
from pipeline.planning.measuring import find_step
from pipeline.search.index.memory import estimate_sizes
from pipeline.search.index.passages import BLOCK_ROWS
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.documents import Document
from schemas.ledger import RunRecord
from schemas.plan import CostPlan
from schemas.scale_plan import MachineFleet, ScalePlan, ScaleUnit, StageNeed, WikiSize

READING = 20
"""Cores that one reader of a dump keeps busy with cleaning; more do not speed up the stage `corpus`."""
_WORDS = "coalesce(sum(len(text) - len(replace(text, ' ', '')) + 1), 0)"
_BYTES = "coalesce(sum(strlen(text) + strlen(title)), 0)"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities of the measured run, or of the whole."""

    words: float
    passages: float
    """Passages of the corpus."""
    looked_at: float
    """Passages that were searched for spans."""
    tasks: float
    attempts: float

    def of(self, unit: ScaleUnit) -> float:
        """The amount of a unit."""
        return {
            ScaleUnit.WORDS: self.words,
            ScaleUnit.PASSAGES: self.looked_at,
            ScaleUnit.ATTEMPTS: self.attempts,
        }[unit]


def scale_up(
    run: RunFolder,
    record: RunRecord,
    wiki: WikiSize,
    attempts: int,
    fleet: MachineFleet,
    scaled: Mapping[StageName, ScaleUnit],
) -> ScalePlan:
    """The needs of `attempts` attempts over a whole wiki, at the rates of a finished run.

    `scaled`: the unit that the work of each stage scales with. Raises ConfigError for a run without attempts, and for
    more attempts than the wiki has passages for.
    """
    seen = measure_amounts(run, record)
    whole = multiply(seen, wiki, attempts)
    if round(whole.looked_at) > round(whole.passages):
        most = int(attempts * whole.passages / whole.looked_at)
        raise ConfigError(
            f"{attempts:,} attempts need spans from {whole.looked_at:,.0f} passages, and {wiki.name} has about "
            f"{whole.passages:,.0f}",
            f"--trajectories {most}, or --from a run with more masking.tasks_per_passage or agents.attempts",
        )
    stages = [
        scale_stage(run, record, stage, unit, seen, whole, fleet)
        for stage, unit in scaled.items()
        if run.find_manifest(stage)
    ]
    return ScalePlan(
        wiki=wiki,
        measured=str(run.root),
        fleet=fleet,
        trajectories=attempts,
        tasks=round(whole.tasks),
        passages=whole.passages,
        stages=tuple(stages),
        index_memory=_index_memory(run, seen, whole, fleet),
        models=None,
        notes=_notes(seen),
    )


def add_models(plan: ScalePlan, models: CostPlan, stages: Sequence[str]) -> ScalePlan:
    """Add the needs of language models; their time replaces the core-hours of the stages that call them."""
    hours = models.hours_at_pace or models.hours_at_full_flight
    first = stages[0] if stages else ""
    timed = tuple(
        stage.model_copy(update={"core_hours": 0.0, "hours": (hours.mean if hours and stage.stage == first else None)})
        if stage.stage in stages
        else stage
        for stage in plan.stages
    )
    return plan.model_copy(update={"models": models, "stages": timed, "notes": (*plan.notes, *models.notes)})


def measure_amounts(run: RunFolder, record: RunRecord) -> Amounts:
    """The quantities of a run. Raises ConfigError for one without attempts."""
    passages, looked = (find_step(record.funnel, stage, "passage") for stage in (StageName.DEDUP, StageName.SPANS))
    tasks = find_step(record.funnel, StageName.TRAJECTORIES, "task")
    attempts = find_step(record.funnel, StageName.TRAJECTORIES, "trajectory")
    if not (passages and looked and tasks and attempts and attempts.entered):
        raise ConfigError(f"{run.root}: nothing was attempted in this run", f"rampforge resume {run.root}")
    return Amounts(
        words=_sum(_WORDS, run.files(Document.dataset)),
        passages=float(passages.passed),
        looked_at=float(looked.looked_at),
        tasks=float(tasks.entered),
        attempts=float(attempts.entered),
    )


def multiply(seen: Amounts, wiki: WikiSize, attempts: int) -> Amounts:
    """The same proportions over a whole wiki, for a number of attempts."""
    tasks = attempts * seen.tasks / seen.attempts
    return Amounts(
        words=float(wiki.words),
        passages=seen.passages * wiki.words / seen.words,
        looked_at=tasks * seen.looked_at / seen.tasks,
        tasks=tasks,
        attempts=float(attempts),
    )


def scale_stage(
    run: RunFolder,
    record: RunRecord,
    stage: StageName,
    unit: ScaleUnit,
    seen: Amounts,
    whole: Amounts,
    fleet: MachineFleet,
) -> StageNeed:
    """The needs of one stage."""
    factor = whole.of(unit) / seen.of(unit)
    work = sum(timing.work_seconds for timing in record.timings if timing.stage == stage)
    written = sum(file.bytes for shard in run.manifest(stage).shards for file in shard.files)
    core_hours, cores = work * factor / 3600, fleet.all_cores
    if stage is StageName.INDEX:  # built on one machine
        written = sum(path.stat().st_size for path in run.index.rglob("*") if path.is_file())
        cores = fleet.cores
    if stage is StageName.CORPUS:
        cores = min(cores, READING)
    return StageNeed(
        stage=stage,
        unit=unit,
        units=whole.of(unit),
        core_hours=core_hours,
        hours=core_hours / cores,
        bytes=written * factor,
    )


def _index_memory(run: RunFolder, seen: Amounts, whole: Amounts, fleet: MachineFleet) -> float | None:
    if not run.find_manifest(StageName.INDEX):
        return None
    rows = round(whole.passages)
    text = _sum(_BYTES, run.files("passages")) * whole.words / seen.words
    return float(estimate_sizes(rows, round(text), BLOCK_ROWS, fleet.cores).memory)


def _sum(expression: str, shards: Sequence[Path]) -> float:
    query = f"SELECT {expression}::BIGINT FROM read_parquet($1)"  # noqa: S608 - this module's own SQL
    ((total,),) = duckdb.execute(query, [[str(path) for path in shards]]).fetchall()
    return float(total)


def _notes(seen: Amounts) -> tuple[str, ...]:
    return (
        f"measured on {seen.words:,.0f} words, {seen.attempts:,.0f} attempts; cores as fast as those that ran it",
        "stages run one after the other, every core at full load; network and queues are not in it",
    )
