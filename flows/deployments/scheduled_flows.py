"""Deployed flows, and the forms that Prefect makes of their parameters.

A parameter that is a section of the configuration has its name and type, so that every key appears with its description
and bounds. Guarantees: a flow run that died is started again in the same folder and does only the remaining work; one
that dies repeatedly fails permanently.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from flows.checks.session import settle_config
from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from flows.configuration.run_context import RunContext
from flows.deployments.parameters import take_sections
from flows.deployments.run_names import find_newest, name_run
from flows.execution.run import run_stages_here
from flows.monitoring.prefect_artifacts import locate_report
from flows.stages.registry import STAGES, list_chat_roles, list_from
from pipeline.errors import ConfigError, RunHeldError, StorageError
from pipeline.llm.chat_model import BudgetSpentError
from pipeline.storage.remote.open_run import join_location, open_run
from schemas.config import CorpusConfig, RunConfig, StageName

log = logging.getLogger(__name__)

Result = TypeVar("Result")

THREADS = 64
"""Maximum shards in progress for one flow run: its threads only wait, and `execution.workers` limits the work."""
STARTS = 5
"""Maximum starts of a flow run: one that kills its worker would be restarted forever."""
STOP_SECONDS = 20.0
"""Grace period for calls in flight: a worker of Prefect kills a flow 30 seconds after asking it to stop."""
HELD_SECONDS, HELD_POLL_SECONDS = 4 * 3600.0, 15.0
"""Maximum wait of a flow run for another process to release the run, and the polling interval."""
TRAJECTORY_STAGES = list_from(StageName.TRAJECTORIES)
CORPUS_STAGES = [name for name in STAGES if name not in TRAJECTORY_STAGES]

USUAL = RunConfig()

RUNNER: Any = ThreadPoolTaskRunner(max_workers=THREADS)  # Any: Prefect's own types of runners disagree


def name_flow_run() -> str:
    """Return the name of a flow run in Prefect: that of its run."""
    pattern = str(flow_run.parameters["name"])
    return name_run(pattern, flow_run.scheduled_start_time)


@flow(name="weekly-corpus", flow_run_name=name_flow_run, task_runner=RUNNER, persist_result=False)
@take_sections("agents", "policy", "judging", "search_service", "report", "distill", "decontamination")
def weekly_corpus(
    corpus: CorpusConfig, name: str = "corpus-{date}", out: str = "outputs", seed: int = 0, **sections: Any
) -> State[Any]:
    """Make passages, mask tasks and a search index of Wikipedia: everything that trajectories need.

    Args:
        name: Name of the run; {date}, {week} and {time} stand for when it was to start, in UTC.
        out: Folder that runs land in; all workers must see it.
        seed: Every random choice follows from it and from content.
        search: What trajectories will search with: its index is built here.
        llm: Language models; here only the extractor of spans asks one, where masking says so.
    """
    config = RunConfig(seed=seed, corpus=corpus, **sections)
    require_sources(corpus)
    return lead(join_location(out, name_flow_run()), config, CORPUS_STAGES)


@flow(name="nightly-trajectories", flow_run_name="{run}", task_runner=RUNNER, persist_result=False)
@take_sections("corpus", "passages", "masking", "search", "distill", "decontamination")
def nightly_trajectories(run: str = "corpus-*", out: str = "outputs", **sections: Any) -> State[Any]:
    """Attempt the tasks of the newest corpus and judge the attempts, for as long as a night has; the next one goes on.

    Args:
        run: The run to work on, or a pattern: then the last one by name whose tasks are ready.
        out: Folder that runs land in; all workers must see it.
        llm: Language models behind the roles; llm.budget.hours is how long a night is.
    """
    newest = find_newest(out, run, StageName.TASKS)
    config = recall_config(newest).model_copy(update=sections)
    return lead(newest.location, config, TRAJECTORY_STAGES)


def lead(location: str, config: RunConfig, stages: Sequence[str]) -> State[Any]:
    """Finish the stages of a run as part of the current flow run; return a summary.

    Raises RampforgeError, whose message with the next command is what Prefect shows of the failed flow run.
    """
    config = settle_config(fit_into_flow_run(location, config), list_chat_roles(config, stages))
    context = RunContext(open_run(location, cache_folder(), config.store), config, cache_folder())
    try:
        wait_until_free(lambda: run_stages_here(context, stages))
    except BudgetSpentError as error:
        if config.llm.budget.hours is None:
            raise
        return Completed(message=f"{error.what}; the next flow run resumes {location}")
    report = f"; report: {locate_report(context)}" if locate_report(context) else ""
    return Completed(message=f"{location}: {stages[-1]} is finished{report}")


def wait_until_free(work: Callable[[], Result]) -> Result:
    """Do the work on a run as soon as no other process holds it: one that was considered dead may still be alive.

    Raises RunHeldError if that takes too long.
    """
    deadline = time.monotonic() + HELD_SECONDS
    while True:
        try:
            return work()
        except RunHeldError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("%s; this flow run waits for it", error.what)
            time.sleep(HELD_POLL_SECONDS)


def require_sources(corpus: CorpusConfig) -> None:
    """Raise ConfigError if there are no sources."""
    if not corpus.sources:
        fix = "set a dump in the form, or for all runs: rampforge deploy -s 'corpus.sources=[DUMP]'"
        raise ConfigError("no sources: corpus.sources is empty", fix)


def fit_into_flow_run(location: str, config: RunConfig) -> RunConfig:
    """Return the configuration with a grace period shorter than that of Prefect's worker. Raises StorageError after too
    many starts.
    """
    if flow_run.run_count > STARTS:
        raise StorageError(
            f"{location}: started {STARTS} times, and its process died each time",
            f"read the log of the worker; then rampforge resume {location}",
        )
    grace = min(config.llm.limits.grace, STOP_SECONDS)
    return config.with_section("llm", limits=config.llm.limits.model_copy(update={"grace": grace}))
