"""Scales what a run has measured up to a whole wiki.

Each stage's CPU work and files grow with one thing: words of prose, passages looked at, or attempts. The sample a run
was made of may have longer pages than the wiki has on average, so pages are never the measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pipeline.errors import ConfigError
from pipeline.planning.measuring import NOT_SAMPLED, find_step
from pipeline.search.index.memory import estimate_sizes
from pipeline.search.index.passages import BLOCK_ROWS
from pipeline.storage.run_folder import RunFolder
from schemas.config import StageName
from schemas.documents import Document
from schemas.ledger import RunRecord
from schemas.plan import CostPlan
from schemas.scale_plan import MachineFleet, ScalePlan, ScaleUnit, StageNeed, WikiSize

READING = 20
"""Cores that one reader of a dump keeps busy with cleaning: more do not make the stage `corpus` any faster."""
_WORDS = "SELECT coalesce(sum(len(text) - len(replace(text, ' ', '')) + 1), 0)::BIGINT, count(*) FROM read_parquet($1)"


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything there is: in the run that was measured, or in the whole."""

    words: float
    passages: float
    """Passages of the corpus."""
    looked_at: float
    """Passages that spans were looked for in."""
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
    wanted: int,
    fleet: MachineFleet,
    scaled: Mapping[StageName, ScaleUnit],
) -> ScalePlan:
    """What `wanted` attempts over a whole wiki would take, at the rates of a finished run.

    `scaled`: the stages, and what the work of each scales with. Raises ConfigError when the run is not finished, or too
    small to say anything.
    """
    seen = measure_amounts(run, record)
    whole = multiply(seen, wiki, wanted)
    stages = [
        scale_stage(run, record, stage, unit, seen, whole, fleet)
        for stage, unit in scaled.items()
        if run.find_manifest(stage)
    ]
    return ScalePlan(
        wiki=wiki,
        measured=str(run.root),
        fleet=fleet,
        trajectories=wanted,
        tasks=round(whole.tasks),
        passages=whole.passages,
        stages=tuple(stages),
        index_memory=_index_memory(run, seen, whole, fleet),
        models=None,
        notes=tuple(_notes(seen, whole)),
    )


def add_models(plan: ScalePlan, models: CostPlan, stages: Sequence[str]) -> ScalePlan:
    """With what the language models of some stages need: their time is that of the stages, and no core works on it."""
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
    """What a run was made of. Raises ConfigError for one whose tasks were never attempted."""
    passages, looked = (find_step(record.funnel, stage, "passage") for stage in (StageName.DEDUP, StageName.SPANS))
    tasks = find_step(record.funnel, StageName.TRAJECTORIES, "task")
    attempts = find_step(record.funnel, StageName.TRAJECTORIES, "trajectory")
    if not (passages and looked and tasks and attempts and attempts.entered):
        raise ConfigError(f"{run.root}: nothing was attempted in this run", f"rampforge resume {run.root}")
    shards = [str(path) for path in run.files(Document.dataset)]
    ((words, _),) = duckdb.execute(_WORDS, [shards]).fetchall()
    return Amounts(
        words=float(words),
        passages=float(passages.passed),
        looked_at=float(looked.entered - looked.rejected.get(NOT_SAMPLED, 0)),
        tasks=float(tasks.entered),
        attempts=float(attempts.entered),
    )


def multiply(seen: Amounts, wiki: WikiSize, wanted: int) -> Amounts:
    """The same proportions over a whole wiki, for so many attempts."""
    tasks = wanted * seen.tasks / seen.attempts
    return Amounts(
        words=float(wiki.words),
        passages=seen.passages * wiki.words / seen.words,
        looked_at=tasks * seen.looked_at / seen.tasks,
        tasks=tasks,
        attempts=float(wanted),
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
    """What one stage would take."""
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
    text = _measure_text(run.files("passages")) * whole.words / seen.words
    return float(estimate_sizes(rows, round(text), BLOCK_ROWS, fleet.cores).memory)


def _measure_text(shards: Sequence[Path]) -> float:
    query = "SELECT coalesce(sum(strlen(text) + strlen(title)), 0)::BIGINT FROM read_parquet($1)"
    ((size,),) = duckdb.execute(query, [[str(path) for path in shards]]).fetchall()
    return float(size)


def _notes(seen: Amounts, whole: Amounts) -> Sequence[str]:
    notes = [
        f"measured on {seen.words:,.0f} words, {seen.attempts:,.0f} attempts; cores as fast as those that ran it",
        "stages run one after the other, every core at full load; network and queues are not in it",
    ]
    if whole.looked_at > whole.passages:
        notes.append(
            f"{whole.looked_at:,.0f} passages would have to be looked at, and there are about {whole.passages:,.0f}: "
            "raise masking.tasks_per_passage or agents.attempts"
        )
    return notes
