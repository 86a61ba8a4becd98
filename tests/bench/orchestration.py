"""What the orchestration costs: a thousand shards with nothing to do, against bare Prefect tasks mapped over the same
list, in this process's pool and on Ray; and the memory of the process that leads, from 100 shards to 1,000.

Ours are whole jobs: processes or a cluster started and ended, each shard's commit written, synced, read again and told
to whoever watches; Prefect's own processes, or Ray's cluster, are in the time of the bare tasks too. Shards that are
also read and written, with nothing in them, are measured against the same function in a bare pool of processes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from flows.execution import stage as stage_flow
from flows.execution.run import start_job
from flows.execution.shard import ShardReport, work_shard
from flows.prefect_api.ephemeral_server import local_api
from flows.stages.ledger_checks import list_settings
from flows.stages.registry import find_spec
from pipeline.storage.remote.open_run import open_run
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import close_stage, open_stage, pick_settings
from schemas.config import CorpusConfig, Engine, ExecutionConfig, RunConfig, StageName
from schemas.documents import Document, Redirect
from schemas.ledger import ShardCommit
from schemas.masking_config import MaskingConfig, Selection
from tests.bench.figures import Figure

SHARDS = 1_000
FEW = 100
WORKERS = 2
LIGHT = MaskingConfig(ner=None, scorer=None, selection=Selection.RANDOM)


class EmptyStage:
    """Takes nothing, makes nothing."""

    whole_shard = False

    def run(self, inputs: Any) -> Any:
        """No outcomes."""
        return iter(())


def run() -> list[Figure]:
    """All figures of this benchmark."""
    figures = []
    for engine in ("local", "ray"):
        bare = measure("time_bare", engine, SHARDS)
        ours = measure("time_no_work", engine, SHARDS)
        few = measure("time_no_work", engine, FEW)
        note = f"{SHARDS:,} shards that do nothing, {WORKERS} processes"
        grown = (ours["peak_mb"] - few["peak_mb"]) / few["peak_mb"]
        figures += [
            Figure(f"bare Prefect tasks, {engine}", 1000 * bare["seconds"] / SHARDS, "ms a shard", note=note),
            Figure(f"our shards, {engine}", 1000 * ours["seconds"] / SHARDS, "ms a shard", note=note),
            Figure(f"ours / bare, {engine}", ours["seconds"] / bare["seconds"], "x", "<= 1.5"),
            Figure(f"memory of the leading process, {engine}", ours["peak_mb"], "MiB", note=f"{SHARDS:,} shards"),
            Figure(f"more memory than with {FEW} shards, {engine}", grown, "", "<= 0.1", note="share"),
        ]
    return [*figures, *measure_empty_shards()]


def measure_empty_shards() -> list[Figure]:
    """Shards that are read and written, though nothing is in them: in a job, and in a bare pool of processes."""
    pool, ours = (measure(function, "local", SHARDS)["seconds"] for function in ("time_pool", "time_empty"))
    note = f"{SHARDS:,} empty shards read, written, synced and committed, {WORKERS} processes"
    return [
        Figure("empty shards in a bare pool", 1000 * pool / SHARDS, "ms a shard", note=note),
        Figure("empty shards in a job", 1000 * ours / SHARDS, "ms a shard", note=note),
        Figure("job / bare pool", ours / pool, "x"),
    ]


def measure(function: str, engine: str, shards: int) -> dict[str, float]:
    """What a function of this module says, called in a process of its own."""
    settle = (
        "from flows.prefect_api.settings import settle_prefect; settle_prefect(debug=False)"  # before Prefect comes in
    )
    code = f"{settle}; from tests.bench import orchestration as o; o.tell(o.{function}, {engine!r}, {shards})"
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"PREFECT_HOME": home}  # a database without the runs of others
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def tell(function: Callable[[Engine, int], float], engine: str, shards: int) -> None:
    """Print the seconds that a function says, and the peak of this process's memory."""
    seconds = function(Engine(engine), shards)
    peak = psutil.Process().memory_info().rss / 2**20
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mb": peak}) + "\n")


def name_shards(shards: int) -> list[str]:
    return [f"000-{number:05d}" for number in range(shards)]


def time_bare(engine: Engine, shards: int) -> float:
    """Prefect tasks that do nothing, or that wait for a Ray task which does nothing."""
    work = do_nothing if engine is Engine.LOCAL else make_ray_task()
    run_one = task(name="bare", cache_policy=NO_CACHE)(work)
    runner: Any = ThreadPoolTaskRunner(max_workers=WORKERS)

    @flow(name="bare", persist_result=False, task_runner=runner)
    def run_all(names: Sequence[str]) -> int:
        return len([future.result() for future in run_one.map(names)])

    with local_api():
        for count in (WORKERS, shards):
            started = time.perf_counter()
            with ray_cluster() if engine is Engine.RAY else nullcontext():
                run_all(name_shards(count))
            seconds = time.perf_counter() - started
    return seconds


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A cluster of Ray's on this machine inside the block."""
    import ray

    ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def do_nothing(shard: str) -> str:
    """A bare task's work."""
    return shard


def make_ray_task() -> Callable[[str], str]:
    """The same work as a task of Ray's, and the wait for it."""
    import ray

    remote = ray.remote(do_nothing)
    return lambda shard: str(ray.get(remote.remote(shard)))


def time_no_work(engine: Engine, shards: int) -> float:
    """A stage whose shards have nothing to do but to be committed."""
    with patch.object(stage_flow, "work_shard", commit_nothing):
        return time_empty(engine, shards)


def commit_nothing(stage: str, run: str, shard: str, config: RunConfig, cache: Path) -> ShardReport:
    """Say that a shard is done."""
    commit = ShardCommit(stage=stage, shard=shard, inputs=0, files=(), funnel=())
    open_run(run, cache, config.store).commit(commit)
    return ShardReport(commit, 0.0)


def time_empty(engine: Engine, shards: int) -> float:
    """The stage that cuts documents into passages, over documents that are not there."""
    with tempfile.TemporaryDirectory() as folder:
        config = settle(Path(folder), engine)
        few, many = Path(folder) / "few", Path(folder) / "many"
        make_documents(few, config, name_shards(WORKERS))
        make_documents(many, config, name_shards(shards))
        with local_api():
            start_job(few, config, Path(folder), [StageName.CHUNK])
            started = time.perf_counter()
            start_job(many, config, Path(folder), [StageName.CHUNK])
            seconds = time.perf_counter() - started
        assert len(RunFolder(many).manifest("chunk").shards) == shards
    return seconds


def time_pool(engine: Engine, shards: int) -> float:
    """What `time_empty` does to its shards, in a bare pool of processes that have to start, too."""
    with tempfile.TemporaryDirectory() as folder:
        config, run, names = settle(Path(folder), engine), Path(folder) / "run", name_shards(shards)
        make_documents(run, config, names)
        open_stage(RunFolder(run), "chunk", list_settings(config, find_spec("chunk")), None)
        context = multiprocessing.get_context("spawn")
        started = time.perf_counter()
        with ProcessPoolExecutor(WORKERS, context) as pool:
            work = partial(work_shard, "chunk", str(run), config=config, cache=Path(folder))
            assert len(list(pool.map(work, names))) == shards
        return time.perf_counter() - started


def settle(folder: Path, engine: Engine) -> RunConfig:
    """The configuration of a job on pages that are not there."""
    source = folder / "pages.jsonl"
    source.touch()
    execution = ExecutionConfig(workers=WORKERS, engine=engine)
    return RunConfig(corpus=CorpusConfig(sources=(str(source),)), masking=LIGHT, execution=execution)


def make_documents(root: Path, config: RunConfig, names: Sequence[str]) -> None:
    """A finished first stage whose shards hold nothing."""
    run_folder = RunFolder(root)
    open_stage(run_folder, "corpus", pick_settings(config, ("corpus",)), None)
    for name in names:
        run_shard(ShardPlan(run_folder, "corpus", name, (Document, Redirect), {}), EmptyStage(), ())
    close_stage(run_folder, "corpus", names)
