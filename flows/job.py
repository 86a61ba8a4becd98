"""The whole job as a Prefect flow: which stages in which order, the run's record, and what Prefect is shown of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from flows.artifacts import publish_run
from flows.chat_models import begin_sitting
from flows.corpus_flow import run_corpus
from flows.endpoint_checks import refuse_wrong_keys
from flows.live_files import clear_live
from flows.local_api import local_api
from flows.model_roles import check_roles, list_roles
from flows.pricing import list_chat_roles, settle_prices
from flows.progress import ProgressBoard
from flows.ray_pool import RayPool
from flows.run_record import write_record
from flows.serving import serve_models
from flows.stage_flow import Sitting, run_stage
from flows.stage_table import CORPUS, STAGES, find_spec
from flows.stages import Workplace
from flows.trace_export import check_tracing
from flows.worker_pool import WorkerPool
from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import discard_stage
from schemas.config import Engine, ExecutionConfig, RunConfig


@flow(name="rampforge", flow_run_name="{run}", persist_result=False, validate_parameters=False)
def run_stages(run: str, root: str, config: dict[str, Any], cache: str, stages: Sequence[str]) -> str:
    """Bring the named stages of a run to their end, in order; returns the run's folder.

    `config` is a whole `RunConfig` as plain values, `root` the run's folder, `cache` the folder of the assets.
    """
    lead_run(Workplace(RunFolder(Path(root)), RunConfig.model_validate(config), Path(cache)), stages)
    return root


def lead_run(place: Workplace, stages: Sequence[str]) -> None:
    """Bring the named stages to their end, inside a flow of Prefect's. Raises RampforgeError."""
    with ExitStack() as stack:
        stack.enter_context(place.run.locked())
        wanted = [name for name in stages if find_spec(name).enabled(place.config)]
        owed = [find_spec(name) for name in wanted if place.run.find_manifest(name) is None]
        roles = list_roles(place.config, owed)
        check_roles(place.config, roles)
        refuse_wrong_keys(place.config, roles)
        if list_chat_roles(place.config, wanted):
            begin_sitting(place.run)
        served = stack.enter_context(serve_models(place.config, place.cache, place.run.root / "logs"))
        stack.callback(clear_live, place.run)  # what the last calls of a stopped run have told
        pool = stack.enter_context(WorkerPool(served.execution.workers, served.llm.limits.grace))
        cluster = stack.enter_context(RayPool(served.execution)) if served.execution.engine is Engine.RAY else None
        if cluster:
            cluster.check_nodes(place.run.root)
        sitting = Sitting(replace(place, config=served), pool, ProgressBoard(), cluster)
        write_record(place, sitting.timings)  # the place as configured: where our own server listens is no setting
        for name in wanted:
            before = len(sitting.timings)
            run_corpus(sitting) if name == CORPUS.name else run_stage(sitting, find_spec(name))
            write_record(place, sitting.timings[before:])
    publish_run(place)


def settle_config(config: RunConfig, stages: Sequence[str]) -> RunConfig:
    """The configuration as a sitting over these stages needs it. Raises RampforgeError for what a user can mend."""
    check_tracing(config.llm.trace, os.environ)
    return settle_prices(config, stages)


def start_job(root: Path, config: RunConfig, cache: Path, stages: Sequence[str]) -> None:
    """Run the flow in this process. Raises RampforgeError for anything a user can mend."""
    workers = count_workers(config.execution)
    config = settle_config(config, stages)
    runner: Any = ThreadPoolTaskRunner(max_workers=workers)  # Any: Prefect's own types of runners disagree
    flow_of_run = run_stages.with_options(task_runner=runner)
    with local_api(), say_how_to_go_on(root):
        flow_of_run(root.resolve().name, str(root), config.model_dump(mode="json"), str(cache), list(stages))


def count_workers(execution: ExecutionConfig) -> int:
    """Shards that can be under work at once: as many threads wait for them. Raises ConfigError."""
    if execution.engine is Engine.RAY:
        return RayPool(execution).workers
    return execution.workers or os.cpu_count() or 1


@contextmanager
def say_how_to_go_on(root: Path) -> Iterator[None]:
    """Tell whoever stops the run by Ctrl-C what became of it."""
    try:
        yield
    except KeyboardInterrupt:
        line = f"stopped; finished records and calls are kept: `rampforge resume {root}` goes on"
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
        raise


def redo_from(root: Path, stage: str) -> None:
    """Throw away a stage and all after it. Raises StorageError for a name that is no stage."""
    names = list(STAGES)
    if stage not in names:
        raise StorageError(f"--redo {stage}: no such stage", f"the stages are {', '.join(names)}")
    for name in reversed(names[names.index(stage) :]):
        discard_stage(RunFolder(root), name)
