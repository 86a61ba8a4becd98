"""Writer of simulation-tuning data from the shards of a judged run: two Parquet files, the rejects, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson

from flows.configuration.provenance import rampforge_version
from flows.exporting.passage_texts import open_texts
from pipeline.exporting.simulator_tuning import (
    JudgedSearch,
    SearchChoice,
    SimulatorExportSettings,
    choose_examples,
    cut_examples,
    settle_search,
    sum_searches,
)
from pipeline.storage.files import wrap_os_errors, write_atomically
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter, read_rows
from schemas.config import StageName
from schemas.exports import Split
from schemas.funnel import FunnelStep, Reject
from schemas.judgements import Judgement
from schemas.simulation import SimulationExample
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

REJECTS = "rejects.parquet"
SUMMARY = "simulation.json"


def export_simulation(
    run: RunFolder, out: Path, settings: SimulatorExportSettings
) -> tuple[FunnelStep, dict[str, int]]:
    """Write the examples of a run; return the totals over its searches, and the number of rows by split and label.

    The run is read twice, so that only ids are held in memory. Raises StorageError, also where the run is not judged.
    """
    run.manifest(StageName.JUDGEMENTS)
    found = (
        (name, example) for name, example in read_searches(run, settings) if isinstance(example, SimulationExample)
    )
    choice = choose_examples(found, settings)
    step, rows = _write_rows(run, out, settings, choice)
    summary = {"settings": settings, "funnel": step.model_dump(), "rows": rows}
    write_atomically(out / SUMMARY, orjson.dumps(summary, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    return step, rows


def read_searches(
    run: RunFolder, settings: SimulatorExportSettings
) -> Iterator[tuple[str, SimulationExample | Reject]]:
    """Return every search of a run, in order, with its example or the reason for having none."""
    find = open_texts(run)
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        name = shard.shard
        tasks = {task.task_id: task for task in read_rows(run.part(MaskTask.dataset, name, ""), MaskTask)}
        judgements = read_rows(run.part(Judgement.dataset, name, ""), Judgement)
        accepted = {judgement.trajectory_id for judgement in judgements if judgement.accepted}
        for trajectory in read_rows(run.part(Trajectory.dataset, name, ""), Trajectory):
            judged = trajectory.trajectory_id in accepted
            yield from cut_examples(JudgedSearch(trajectory, tasks[trajectory.task_id], judged, find), settings)


def _write_rows(
    run: RunFolder, out: Path, settings: SimulatorExportSettings, choice: SearchChoice
) -> tuple[FunnelStep, dict[str, int]]:
    provenance = {"stage": "simulation", "version": rampforge_version()}
    reasons: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    with (
        wrap_os_errors(out),
        ShardWriter(out, f"{Split.TRAIN}.parquet", SimulationExample, provenance) as train,
        ShardWriter(out, f"{Split.VALIDATION}.parquet", SimulationExample, provenance) as validation,
        ShardWriter(out, REJECTS, Reject, provenance) as rejects,
    ):
        for name, found in read_searches(run, settings):
            row = settle_search(name, found, choice)
            if isinstance(row, Reject):
                reasons[row.reason] += 1
                rejects.append(row.model_dump(mode="json"))
            else:
                rows[f"{row.split} {row.usefulness}"] += 1
                (train if row.split is Split.TRAIN else validation).append(row.model_dump(mode="json"))
        for writer in (train, validation, rejects):
            writer.close()
    return sum_searches(rows.total(), reasons), dict(rows)
