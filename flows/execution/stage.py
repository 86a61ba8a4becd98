"""Stages under Prefect: a task is one shard, or a slice of shards where a stage has too many for a person to read;
names in, commits out, Prefect's caching off.

Prefect's results are not a ledger: the finished work is read from the run folder, so that a stage can be started again
at any time and does only the remaining work. The work runs in the processes of a pool; Prefect's threads only wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait

from flows.configuration.run_context import RunContext
from flows.execution.shard import ShardReport, prepare_stage, work_shard
from flows.monitoring.prefect_artifacts import publish_stage
from flows.monitoring.progress import ProgressBoard
from flows.monitoring.refusal_detector import RefusalWatch, refuse_all_refused
from flows.monitoring.stage_progress import StageProgress
from flows.monitoring.stall_detector import ParseFailureDetector
from flows.process.ray_pool import RayPool
from flows.process.worker_pool import WorkerPool
from flows.stages.ledger_checks import list_all_settings
from flows.stages.library_versions import list_versions
from flows.stages.spec import StageSpec
from pipeline.errors import RampforgeError
from pipeline.llm.chat_model import AllRefusedError
from pipeline.storage.stage_ledger import close_stage, digest_manifest, open_stage
from schemas.ledger import StageManifest, StageTiming

P = ParamSpec("P")
T = TypeVar("T")

RETRY_SECONDS = 2
MOST_TASKS = 100
"""Maximum Prefect tasks of one stage: each costs Prefect and its API more than an empty shard costs a worker."""


@dataclass(slots=True)
class RunSession:
    """One session over a run: its context, pool, progress board and cluster."""

    context: RunContext
    pool: WorkerPool
    board: ProgressBoard
    cluster: RayPool | None = None
    """Cluster for the shards that call no language model; None for this machine."""
    timings: list[StageTiming] = field(default_factory=list)

    @property
    def stopping(self) -> bool:
        """Return whether the session is being stopped."""
        return self.pool.stopping or (self.cluster is not None and self.cluster.stopping)

    def submit(self, spec: StageSpec, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit the work on a shard to its executor."""
        if self.cluster is None or spec.roles(self.context.config):
            return self.pool.submit(work, *args, **kwargs)
        gpus = self.context.config.execution.shard_gpus.get(spec.name, 0.0)
        return self.cluster.submit(gpus, work, *args, **kwargs)

    def capacity(self, spec: StageSpec) -> int:
        """Return how many shards of a stage can be in progress at once."""
        return self.pool.workers if self.cluster is None or spec.roles(self.context.config) else self.cluster.workers


def enter_stage(session: RunSession, spec: StageSpec) -> StageManifest | None:
    """Open the stage ledger; refuse a changed configuration. Returns the manifest of a finished stage."""
    run = session.context.run
    upstream = run.manifest(spec.inputs[0]) if spec.inputs else None
    settings = list_all_settings(session.context, spec)
    versions = list_versions(spec.packages(session.context.config))
    digest = digest_manifest(upstream) if upstream else None
    open_stage(run, spec.name, settings, digest, versions, partial=True)
    finished = run.find_manifest(spec.name)
    if finished is not None:
        run.check_sizes(finished)
    return finished


def run_stage(session: RunSession, spec: StageSpec) -> StageManifest:
    """Run a stage and return its manifest."""
    finished = enter_stage(session, spec)
    if finished is not None:
        return finished
    run = session.context.run
    upstream = run.manifest(spec.inputs[0])
    shards = [shard.shard for shard in upstream.shards] if spec.open else []
    total = upstream.rows(spec.counted.dataset) if spec.counted else 0
    started = time.monotonic()
    with session.board.stage(session.context, spec, total) as gauge:
        work = prepare(session, spec) if spec.prepare else 0.0
        reports = work_shards(session, spec, shards, gauge)
        if not shards:
            gauge.enter_whole(total)
    refuse_all_refused(run, spec.name)
    work += sum(report.work_seconds for report in reports)
    note_timing(session, spec.name, started, work, total)
    manifest = close_stage(run, spec.name, shards, spec.made(run))
    publish_stage(gauge.latest, manifest)
    return manifest


def prepare(session: RunSession, spec: StageSpec) -> float:
    """Do the work that precedes the shards, as a Prefect task; return the seconds it took."""
    context = session.context

    @task(name=f"{spec.name}-prepare", cache_policy=NO_CACHE, **retry_options(session))
    def prepare_one() -> float:
        return session.pool.submit(
            prepare_stage, spec.name, context.run.location, context.config, context.cache
        ).result()

    seconds: float = prepare_one()
    return seconds


def work_shards(session: RunSession, spec: StageSpec, shards: Iterable[str], gauge: StageProgress) -> list[ShardReport]:
    """Run all shards as Prefect tasks; if one fails, the others finish before its error is raised."""
    earlier = {commit.shard: commit for commit in session.context.run.commits(spec.name)}
    done = {shard: earlier.get(shard) for shard in shards}
    reports = [ShardReport(commit, 0.0) for commit in done.values() if commit]
    for report in reports:
        gauge.enter_earlier(report.commit)

    @task(name=spec.name, task_run_name="{part.name}", cache_policy=NO_CACHE, **retry_options(session))
    def work_slice(part: ShardSlice) -> list[ShardReport]:
        return part.work()

    watch = ParseFailureDetector(spec.name)
    refusals = RefusalWatch(any(report.commit.inputs for report in reports))
    unfinished = [shard for shard, commit in done.items() if commit is None]
    parts = [ShardSlice(session, spec, part, gauge, watch, refusals) for part in cut_slices(unfinished)]
    futures = [work_slice.submit(part) for part in parts]
    wait(futures)
    retried = [number for number, part in enumerate(parts) if part.refused and refusals.answered]
    for number in retried:  # other shards have been answered since, so these rejections are due to the items
        futures[number] = work_slice.submit(parts[number])
    wait(futures)
    return reports + [report for future in futures for report in future.result()]


def cut_slices(shards: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divide into at most `MOST_TASKS` slices, in order and as even as possible."""
    size = -(-len(shards) // MOST_TASKS)
    for start in range(0, len(shards), size or 1):
        yield shards[start : start + size]


class ShardSlice:
    """Shards of a stage that form one Prefect task."""

    def __init__(
        self,
        session: RunSession,
        spec: StageSpec,
        shards: Sequence[str],
        gauge: StageProgress,
        watch: ParseFailureDetector,
        refusals: RefusalWatch | None = None,
    ) -> None:
        self.name = shards[0] if len(shards) == 1 else f"{shards[0]} to {shards[-1]}"
        self._session, self._spec, self._gauge, self._watch = session, spec, gauge, watch
        self._refusals = refusals or RefusalWatch(answered=False)
        self.refused = False
        """Whether only rejections of whole shards remain."""
        self._owed = list(shards)
        self._reports: list[ShardReport] = []

    def work(self) -> list[ShardReport]:
        """Finish the remaining shards; may be called again.

        Raises a shard's error, transient ones first.
        """
        self._refusals.check()
        errors: list[Exception] = []
        for future in as_completed([self._submit(shard) for shard in self._owed]):
            try:
                self._enter(future.result())
            except Exception as error:  # raised below, after the other shards have ended
                errors.append(error)
        self.refused = bool(errors) and all(isinstance(error, AllRefusedError) for error in errors)
        if errors:
            self._refusals.note(errors)
            raise min(errors, key=lambda error: isinstance(error, RampforgeError))
        return self._reports

    def _submit(self, shard: str) -> Future[ShardReport]:
        context, spec = self._session.context, self._spec
        return self._session.submit(
            spec, work_shard, spec.name, context.run.location, shard, context.config, context.cache
        )

    def _enter(self, report: ShardReport) -> None:
        self._owed.remove(report.commit.shard)
        self._refusals.answered |= report.commit.inputs > 0
        self._reports.append(report)
        self._gauge.enter(report.commit)
        self._watch.note(report.commit)


def retry_options(session: RunSession) -> dict[str, Any]:
    """Return the retry options of a task: no retry for an error that a retry cannot fix."""
    return {
        "retries": session.context.config.execution.retries,
        "retry_delay_seconds": RETRY_SECONDS,
        "retry_condition_fn": lambda *state: not session.stopping and _may_pass_next_time(*state),
    }


def _may_pass_next_time(_task: Any, _run: Any, state: Any) -> bool:
    try:
        state.result()
    except RampforgeError:
        return False
    except Exception:  # a worker that died, or a transient error of the machine
        return True
    return False


def note_timing(session: RunSession, stage: str, started: float, work: float, inputs: int) -> None:
    """Record the duration of a stage in this session."""
    seconds = time.monotonic() - started
    session.timings.append(StageTiming(stage=stage, seconds=seconds, work_seconds=work, inputs=inputs))
