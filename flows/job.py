"""The whole job as a Prefect flow: which stages in which order, the run's record, and what Prefect is shown of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner

from flows.corpus_flow import run_corpus
from flows.local_api import local_api
from flows.progress import ProgressBoard
from flows.run_record import collect_funnel, write_record
from flows.serving import serve_models
from flows.stage_flow import Sitting, run_stage
from flows.stage_table import CORPUS, STAGES, find_spec
from flows.stages import Workplace
from flows.worker_pool import WorkerPool
from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import discard_stage
from schemas.config import RunConfig
from schemas.funnel import FunnelStep


@flow(name="rampforge", flow_run_name="{run}", persist_result=False, validate_parameters=False)
def run_stages(run: str, root: str, config: dict[str, Any], cache: str, stages: Sequence[str]) -> str:
    """Bring the named stages of a run to their end, in order; returns the run's folder.

    `config` is a whole `RunConfig` as plain values, `root` the run's folder, `cache` the folder of the assets.
    """
    place = Workplace(RunFolder(Path(root)), RunConfig.model_validate(config), Path(cache))
    with ExitStack() as stack:
        stack.enter_context(place.run.locked())
        served = stack.enter_context(serve_models(place.config, place.cache, place.run.root / "logs"))
        pool = stack.enter_context(WorkerPool(served.execution.workers))
        sitting = Sitting(replace(place, config=served), pool, ProgressBoard())
        write_record(place, sitting.timings)  # the place as configured: where our own server listens is no setting
        for name in stages:
            before = len(sitting.timings)
            run_corpus(sitting) if name == CORPUS.name else run_stage(sitting, find_spec(name))
            write_record(place, sitting.timings[before:])
    publish_artifacts(place)
    return root


def start_job(root: Path, config: RunConfig, cache: Path, stages: Sequence[str]) -> None:
    """Run the flow in this process. Raises RampforgeError for anything a user can mend."""
    workers = config.execution.workers or os.cpu_count() or 1
    runner: Any = ThreadPoolTaskRunner(max_workers=workers)  # Any: Prefect's own types of runners disagree
    flow_of_run = run_stages.with_options(task_runner=runner)
    with local_api():
        flow_of_run(root.resolve().name, str(root), config.model_dump(mode="json"), str(cache), list(stages))


def redo_from(root: Path, stage: str) -> None:
    """Throw away a stage and all after it. Raises StorageError for a name that is no stage."""
    names = list(STAGES)
    if stage not in names:
        raise StorageError(f"--redo {stage}: no such stage", f"the stages are {', '.join(names)}")
    for name in reversed(names[names.index(stage) :]):
        discard_stage(RunFolder(root), name)


def publish_artifacts(place: Workplace) -> None:
    """Show the funnel and the way to the report in Prefect."""
    funnel = collect_funnel(place.run)
    create_table_artifact(table=[show_step(step) for step in funnel], key="funnel", description="In = out + rejected")
    report = place.run.report.resolve()
    lines = [f"# {place.run.name}", "", f"Folder: `{place.run.root.resolve()}`"]
    if report.exists():
        lines += ["", f"Report: [{report.name}]({report.as_uri()})"]
    create_markdown_artifact(markdown="\n".join(lines), key="run")


def show_step(step: FunnelStep) -> dict[str, Any]:
    """A row of the funnel as a person reads it."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(step.rejected.items(), key=lambda r: -r[1]))
    return {
        "stage": step.stage,
        "unit": step.unit,
        "in": step.entered,
        "out": step.passed,
        "rejected": sum(step.rejected.values()),
        "reasons": reasons,
    }
