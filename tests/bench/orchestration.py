"""What the orchestration costs: a thousand shards with nothing in them, against bare Prefect tasks mapped over the same
list, in this process's pool and on Ray; and the memory of the process that leads, from 100 shards to 1,000.

Ours read an empty shard, write an empty one, sync it, commit it and count it; the bare tasks return at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from flows.job import start_job
from flows.local_api import local_api
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import ShardPlan, run_shard
from pipeline.storage.stage_ledger import close_stage, open_stage, pick_settings
from schemas.config import CorpusConfig, Engine, ExecutionConfig, MaskingConfig, RunConfig, Selection
from schemas.documents import Document, Redirect
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
        ours = measure("time_ours", engine, SHARDS)
        few = measure("time_ours", engine, FEW)
        note = f"{SHARDS:,} empty shards, {WORKERS} processes"
        grown = (ours["peak_mb"] - few["peak_mb"]) / few["peak_mb"]
        figures += [
            Figure(f"bare Prefect tasks, {engine}", 1000 * bare["seconds"] / SHARDS, "ms a shard", note=note),
            Figure(f"our shards, {engine}", 1000 * ours["seconds"] / SHARDS, "ms a shard", note=note),
            Figure(f"ours / bare, {engine}", ours["seconds"] / bare["seconds"], "x", "<= 1.5"),
            Figure(f"memory of the leading process, {engine}", ours["peak_mb"], "MiB", note=f"{SHARDS:,} shards"),
            Figure(f"more memory than with {FEW} shards, {engine}", grown, "", "<= 0.1", note="share"),
        ]
    return figures


def measure(function: str, engine: str, shards: int) -> dict[str, float]:
    """What a function of this module says, called in a process of its own."""
    code = f"from tests.bench import orchestration as o; o.tell(o.{function}, {engine!r}, {shards})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def tell(function: Callable[[Engine, int], float], engine: str, shards: int) -> None:
    """Print the seconds that a function says, and the peak of this process's memory."""
    from flows.prefect_settings import settle_prefect

    settle_prefect(debug=False)
    seconds = function(Engine(engine), shards)
    peak = psutil.Process().memory_info().rss / 2**20
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mb": peak}) + "\n")


def name_shards(shards: int) -> list[str]:
    return [f"000-{number:05d}" for number in range(shards)]


def time_bare(engine: Engine, shards: int) -> float:
    """Prefect tasks that do nothing, or that wait for a Ray task which does nothing."""
    work = do_nothing
    if engine is Engine.RAY:
        import ray

        ray.init(address="local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        remote = ray.remote(do_nothing)

        def work(shard: str) -> str:
            return str(ray.get(remote.remote(shard)))

    run_one = task(name="bare", cache_policy=NO_CACHE)(work)
    runner: Any = ThreadPoolTaskRunner(max_workers=WORKERS)

    @flow(name="bare", persist_result=False, task_runner=runner)
    def run_all(names: Sequence[str]) -> int:
        return len([future.result() for future in run_one.map(names)])

    with local_api():
        run_all(name_shards(WORKERS))
        started = time.perf_counter()
        run_all(name_shards(shards))
        return time.perf_counter() - started


def do_nothing(shard: str) -> str:
    return shard


def time_ours(engine: Engine, shards: int) -> float:
    """The stage that cuts documents into passages, over documents that are not there."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pages.jsonl"
        source.touch()
        execution = ExecutionConfig(workers=WORKERS, engine=engine)
        config = RunConfig(corpus=CorpusConfig(sources=(str(source),)), masking=LIGHT, execution=execution)
        few, many = Path(folder) / "few", Path(folder) / "many"
        make_documents(few, config, name_shards(WORKERS))
        make_documents(many, config, name_shards(shards))
        with local_api():
            start_job(few, config, Path(folder), ["cut"])
            started = time.perf_counter()
            start_job(many, config, Path(folder), ["cut"])
            seconds = time.perf_counter() - started
        assert len(RunFolder(many).manifest("cut").shards) == shards
    return seconds


def make_documents(root: Path, config: RunConfig, names: Sequence[str]) -> None:
    """A finished first stage whose shards hold nothing."""
    run_folder = RunFolder(root)
    open_stage(run_folder, "corpus", pick_settings(config, ("corpus",)), None)
    for name in names:
        run_shard(ShardPlan(run_folder, "corpus", name, (Document, Redirect), {}), EmptyStage(), ())
    close_stage(run_folder, "corpus", names)
