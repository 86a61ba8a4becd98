"""The whole pipeline as a Prefect flow: the order of the stages, the run's record, and its Prefect artifacts."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console
from rich.text import Text

from flows.checks.session import open_session, settle_config
from flows.checks.start import require_start
from flows.configuration.prompt_folder import use_prompts
from flows.configuration.run_context import RunContext
from flows.execution.corpus_stage import run_corpus
from flows.execution.prefect_outage import run_with_fallback
from flows.execution.shard import RESOURCES
from flows.execution.stage import RunSession, run_stage
from flows.monitoring.live_files import clear_live
from flows.monitoring.prefect_artifacts import publish_run
from flows.monitoring.progress import ProgressBoard
from flows.monitoring.run_events import watch_run, watch_start
from flows.process.ray_pool import RayPool
from flows.process.worker_pool import WorkerPool
from flows.stages.corpus import CORPUS
from flows.stages.ledger_checks import accept_other_versions, check_stages, find_other_versions, refuse_other_versions
from flows.stages.registry import find_spec, list_chat_roles, list_from, list_roles
from flows.stages.run_record import write_record
from flows.stages.spec import StageSpec
from pipeline.errors import RampforgeError
from pipeline.llm.call_journal import drop_refusals
from pipeline.llm.usage_log import CallUsage
from pipeline.report.shortfall import describe_shortfall
from pipeline.storage.remote.object_store import refuse_secrets
from pipeline.storage.remote.open_run import name_run, open_run
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import discard_stage
from schemas.config import Engine, ExecutionConfig, RunConfig, StageName
from schemas.ledger import RunRecord, StageStart
from schemas.tasks import MaskTask

log = logging.getLogger(__name__)

RESUME_ANY = "rampforge resume RUN"


@flow(name="rampforge", flow_run_name="{run}", persist_result=False, validate_parameters=False)
def run_stages(
    run: str,
    root: str,
    config: dict[str, Any],
    cache: str,
    stages: Sequence[str],
    redo: str | None = None,
    other_version: bool = False,
    probe_calls: Sequence[CallUsage] | None = None,
) -> str:
    """Run the named stages, in order, and return the run's location.

    `config` is a whole `RunConfig` as plain values, `root` the run's folder or URL, `cache` the folder of the assets;
    `redo` is a stage to discard first, with all later ones; `other_version`: resume what other versions of rampforge,
    or of the packages that affect rows, have started; `probe_calls`: see `run_stages_here`.
    """
    settings = RunConfig.model_validate(config)
    use_prompts(settings)
    context = RunContext(open_run(root, Path(cache), settings.store), settings, Path(cache), RESOURCES)
    run_stages_here(context, stages, redo, other_version, probe_calls)
    return root


def run_stages_here(
    context: RunContext,
    stages: Sequence[str],
    redo: str | None = None,
    other_version: bool = False,
    probe_calls: Sequence[CallUsage] | None = None,
) -> None:
    """Run the named stages inside a flow of Prefect.

    `probe_calls`: the calls of a check of the stages' requirements made just before; None makes the check here. Raises
    RampforgeError. An error before the work begins leaves the run's folder unchanged.
    """
    execution = context.config.execution
    with ExitStack() as stack:
        stack.enter_context(context.run.locked(f"process {os.getpid()} on {socket.gethostname()}", abort_session))
        watch = stack.enter_context(watch_run(context))
        requested, unfinished, others = check_ledgers(context, stages, redo, other_version)
        calls = check_unfinished(context, unfinished) if probe_calls is None else probe_calls
        served = stack.enter_context(open_session(context, list_roles(context.config, unfinished), calls))
        if redo:
            discard_stages(context.run, redo)
        accept_other_versions(context.run, others)
        stack.callback(clear_live, context.run)  # live files of a stopped run
        pool = stack.enter_context(WorkerPool(execution.workers, context.config.llm.limits.grace))
        cluster = stack.enter_context(RayPool(execution)) if execution.engine is Engine.RAY else None
        if cluster:
            cluster.check_nodes(None if context.run.mirror else context.run.root)
        session = RunSession(served, pool, ProgressBoard(watch=watch), cluster)
        write_record(
            context, session.timings
        )  # the context as configured: the address of the managed server is not a setting
        for name in requested:
            before = len(session.timings)
            run_corpus(session) if name == CORPUS.name else run_stage(session, find_spec(name))
            record = write_record(context, session.timings[before:])
            if name == StageName.TASKS and session.timings[before:]:
                tell_shortfall(session, record)
            watch.note_stage_end()
    publish_run(context)


def tell_shortfall(session: RunSession, record: RunRecord) -> None:
    """Print how many of the tasks asked for are missing, and why."""
    made = session.context.run.manifest(StageName.TASKS).rows(MaskTask.dataset)
    if line := describe_shortfall(record, made):
        session.board.console.print(Text(line, style="yellow"), soft_wrap=True)


def check_ledgers(
    context: RunContext, stages: Sequence[str], redo: str | None, other_version: bool
) -> tuple[list[str], list[StageSpec], dict[str, StageStart]]:
    """Check stages against the ledgers of a run.

    Returns the names of the requested stages, the unfinished ones among them, and those started with other versions.
    Raises RampforgeError.
    """
    requested = [name for name in stages if find_spec(name).enabled(context.config)]
    redone = list_from(redo) if redo else []
    check_stages(context, requested, redone)
    others = find_other_versions(context, requested, redone)
    if not other_version:
        refuse_other_versions(context.run, others)
    unfinished = [find_spec(name) for name in requested if name in redone or context.run.find_manifest(name) is None]
    return requested, unfinished, others


def check_unfinished(context: RunContext, unfinished: Sequence[StageSpec]) -> tuple[CallUsage, ...]:
    """Check what unfinished stages need before they start; return the cost of the probes. Raises ConfigError."""
    return require_start(context, list_roles(context.config, unfinished), unfinished) if unfinished else ()


def start_job(
    root: str | Path,
    config: RunConfig,
    cache: Path,
    stages: Sequence[str],
    redo: str | None = None,
    other_version: bool = False,
) -> None:
    """Run the flow in this process. `root`: the run's folder, or its URL; the rest as in `run_stages`.

    Raises RampforgeError for any user error.
    """
    refuse_secrets(str(root))  # before Prefect is involved
    if redo:
        list_from(redo)
    workers = count_workers(config.execution)
    config = settle_config(config, list_chat_roles(config, stages))
    runner: Any = ThreadPoolTaskRunner(max_workers=workers)  # Any: Prefect's own types of runners disagree
    flow_of_run = run_stages.with_options(task_runner=runner)
    context = RunContext(open_run(root, cache, config.store), config, cache, RESOURCES)
    arguments = (
        name_run(str(root)),
        str(root),
        config.model_dump(mode="json"),
        str(cache),
        list(stages),
        redo,
        other_version,
    )
    with add_resume_command(root):
        with watch_start(context):  # before anything is started or written
            _, unfinished, _ = check_ledgers(context, stages, redo, other_version)
            probe_calls = [check_unfinished(context, unfinished)]
        run_with_fallback(context, lambda: flow_of_run(*arguments, probe_calls.pop() if probe_calls else ()))


def count_workers(execution: ExecutionConfig) -> int:
    """Return the number of shards in progress at once, each with a waiting thread. Raises ConfigError."""
    if execution.engine is Engine.RAY:
        return RayPool(execution).workers
    return execution.workers or os.cpu_count() or 1


@contextmanager
def add_resume_command(root: str | Path) -> Iterator[None]:
    """Add the run's name to the message of a stopped or failed session: lower layers do not have it."""
    try:
        yield
    except RampforgeError as error:
        error.fix = error.fix.replace(RESUME_ANY, f"rampforge resume {root}")
        error.args = RampforgeError(error.what, error.fix).args
        raise
    except KeyboardInterrupt:
        line = f"stopped; finished records and calls are kept: resume with `rampforge resume {root}`"
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
        raise


def abort_session(reason: str) -> None:
    """End the session as Ctrl-C does, because the lease on the run is lost. Called from a thread."""
    log.error("%s", reason)
    os.kill(os.getpid(), signal.SIGINT)


def discard_stages(run: RunFolder, stage: str) -> None:
    """Discard a stage, all later ones, and every rejection, so that it is requested again. The run must be held."""
    for name in reversed(list_from(stage)):
        discard_stage(run, name)
    drop_refusals(run.root / "calls")
