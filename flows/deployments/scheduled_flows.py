"""The flows that are deployed: what each does, and the form that Prefect makes of its parameters.

A parameter that is a section of the configuration has its name and its type, so every key comes with its meaning and
its bounds. Promises: a flow run that died is started again in the folder it had, and does only what is owed; one that
dies again and again fails for good.
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

from flows.configuration.cache import cache_folder
from flows.configuration.recalled_config import recall_config
from flows.configuration.run_context import RunContext
from flows.deployments.run_names import find_newest, name_run
from flows.execution.run import run_stages_here, settle_config
from flows.monitoring.prefect_artifacts import locate_report
from flows.stages.registry import STAGES, list_from
from pipeline.errors import ConfigError, RunHeldError, StorageError
from pipeline.llm.chat_model import BudgetSpentError
from pipeline.storage.remote.open_run import join_location, open_run
from schemas.config import (
    AgentsConfig,
    CorpusConfig,
    ExecutionConfig,
    JudgingConfig,
    MaskingConfig,
    PassagesConfig,
    ReportConfig,
    RunConfig,
    StageName,
)
from schemas.llm_config import LlmConfig
from schemas.policies import PolicyConfig
from schemas.search_config import SearchConfig, SearchServiceConfig
from schemas.serving_config import ServingConfig
from schemas.store_config import StoreConfig
from schemas.watch_config import WatchConfig

log = logging.getLogger(__name__)

Result = TypeVar("Result")

THREADS = 64
"""Shards that may be under way for one flow run: threads only wait, `execution.workers` says how many are worked on."""
STARTS = 5
"""Times that a flow run is started before it is given up: one that kills its worker would go round for ever."""
STOP_SECONDS = 20.0
"""Grace for calls in flight: a worker of Prefect's kills 30 seconds after it has asked a flow to end."""
HELD_SECONDS, HELD_POLL_SECONDS = 4 * 3600.0, 15.0
"""How long a flow run waits for another process to let go of the run, and how often it looks."""
TRAJECTORY_STAGES = list_from(StageName.TRAJECTORIES)
CORPUS_STAGES = [name for name in STAGES if name not in TRAJECTORY_STAGES]

USUAL = RunConfig()

RUNNER: Any = ThreadPoolTaskRunner(max_workers=THREADS)  # Any: Prefect's own types of runners disagree


def name_flow_run() -> str:
    """What Prefect calls a flow run: the run it works on."""
    pattern = str(flow_run.parameters["name"])
    return name_run(pattern, flow_run.scheduled_start_time)


@flow(name="weekly-corpus", flow_run_name=name_flow_run, task_runner=RUNNER, persist_result=False)
def weekly_corpus(
    corpus: CorpusConfig,
    name: str = "corpus-{date}",
    out: str = "outputs",
    seed: int = 0,
    passages: PassagesConfig = USUAL.passages,
    masking: MaskingConfig = USUAL.masking,
    search: SearchConfig = USUAL.search,
    llm: LlmConfig = USUAL.llm,
    serving: ServingConfig = USUAL.serving,
    execution: ExecutionConfig = USUAL.execution,
    store: StoreConfig = USUAL.store,
    watch: WatchConfig = USUAL.watch,
) -> State[Any]:
    """Read Wikipedia into passages, mask tasks and a search index: all that trajectories are made from.

    Args:
        name: Name of the run; {date}, {week} and {time} stand for when it was to start, in UTC.
        out: Folder that runs land in; all workers must see it.
        seed: Every random choice follows from it and from content.
        search: What trajectories will search with: its index is built here.
        llm: Language models; here only the extractor of spans asks one, where masking says so.
    """
    config = RunConfig(
        seed=seed,
        corpus=corpus,
        passages=passages,
        masking=masking,
        search=search,
        llm=llm,
        serving=serving,
        execution=execution,
        store=store,
        watch=watch,
    )
    require_sources(corpus)
    return lead(join_location(out, name_flow_run()), config, CORPUS_STAGES)


@flow(name="nightly-trajectories", flow_run_name="{run}", task_runner=RUNNER, persist_result=False)
def nightly_trajectories(
    run: str = "corpus-*",
    out: str = "outputs",
    agents: AgentsConfig = USUAL.agents,
    policy: PolicyConfig = USUAL.policy,
    judging: JudgingConfig = USUAL.judging,
    search_service: SearchServiceConfig = USUAL.search_service,
    llm: LlmConfig = USUAL.llm,
    serving: ServingConfig = USUAL.serving,
    report: ReportConfig = USUAL.report,
    execution: ExecutionConfig = USUAL.execution,
    store: StoreConfig = USUAL.store,
    watch: WatchConfig = USUAL.watch,
) -> State[Any]:
    """Attempt the tasks of the newest corpus and judge the attempts, for as long as a night has; the next one goes on.

    Args:
        run: The run to work on, or a pattern: then the last one by name whose tasks are ready.
        out: Folder that runs land in; all workers must see it.
        llm: Language models behind the roles; llm.budget.hours is how long a night is.
    """
    newest = find_newest(out, run, StageName.TASKS)
    sections = {
        "agents": agents,
        "policy": policy,
        "judging": judging,
        "search_service": search_service,
        "llm": llm,
        "serving": serving,
        "report": report,
        "execution": execution,
        "store": store,
        "watch": watch,
    }
    config = recall_config(newest).model_copy(update=sections)
    return lead(newest.location, config, TRAJECTORY_STAGES)


def lead(location: str, config: RunConfig, stages: Sequence[str]) -> State[Any]:
    """Bring the stages of a run to their end, as part of the flow run we are in; what it has come to.

    Raises RampforgeError: its message, with what to do next, is what Prefect shows of the failed flow run.
    """
    config = settle_config(fit_into_flow_run(location, config), stages)
    context = RunContext(open_run(location, cache_folder(), config.store), config, cache_folder())
    try:
        wait_until_free(lambda: run_stages_here(context, stages))
    except BudgetSpentError as error:
        if config.llm.budget.hours is None:
            raise
        return Completed(message=f"{error.what}; the next flow run goes on in {location}")
    told = f"; report: {locate_report(context)}" if locate_report(context) else ""
    return Completed(message=f"{location}: {stages[-1]} is finished{told}")


def wait_until_free(work: Callable[[], Result]) -> Result:
    """Do the work on a run as soon as no other process is at it: one that was believed dead may still live.

    Raises RunHeldError when that takes too long.
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
    """Raise ConfigError where there is nothing to read."""
    if not corpus.sources:
        fix = "name a dump in the form, or for all runs: rampforge deploy -s 'corpus.sources=[DUMP]'"
        raise ConfigError("corpus.sources is empty: nothing to read pages from", fix)


def fit_into_flow_run(location: str, config: RunConfig) -> RunConfig:
    """The configuration with less grace than Prefect's worker has. Raises StorageError after too many starts."""
    if flow_run.run_count > STARTS:
        raise StorageError(
            f"{location}: started {STARTS} times, and its process died each time",
            f"read the log of the worker; then rampforge resume {location}",
        )
    grace = min(config.llm.limits.grace, STOP_SECONDS)
    limits = config.llm.limits.model_copy(update={"grace": grace})
    return config.model_copy(update={"llm": config.llm.model_copy(update={"limits": limits})})
