"""Worker processes: a dead worker costs its own shard only, and no worker outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from flows.process.worker_pool import THREAD_LIMITS, WorkerPool
from tests.support.places import REPOSITORY

pytestmark = pytest.mark.processes

PARENT = """
import sys, time
from flows.process.worker_pool import WorkerPool
from tests.flows.process.test_worker_pool import sleep_long
if __name__ == "__main__":
    with WorkerPool(2) as pool:
        pool.submit(sleep_long)
        pool.submit(sleep_long)
        time.sleep(600)
"""

SCRIPT = """
from flows.process.worker_pool import WorkerPool
print("run")
with WorkerPool(2) as pool:
    print([pool.submit(abs, number).result() for number in (-3, -4)])
"""


def sleep_long() -> None:
    time.sleep(600)


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def tell_threads() -> list[str | None]:
    return [os.environ.get(name) for name in THREAD_LIMITS]


def list_heavy() -> list[str]:
    import flows.execution.shard  # noqa: F401 - what a worker imports to do its work

    return [name for name in ("torch", "transformers", "prefect", "spacy", "openai", "pandas") if name in sys.modules]


def test_a_worker_starts_without_what_few_stages_need() -> None:
    with WorkerPool(1) as pool:
        assert pool.submit(list_heavy).result(timeout=60) == []


def test_the_pool_is_recreated_after_a_worker_died() -> None:
    with WorkerPool(1) as pool:
        with pytest.raises(BrokenProcessPool):
            pool.submit(kill_self).result(timeout=60)
        assert pool.submit(abs, -3).result(timeout=60) == 3


def test_a_script_without_a_guard_is_run_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    output = subprocess.check_output([sys.executable, script], env=environment, text=True, timeout=60)
    assert output.splitlines() == ["run", "[3, 4]"]


def test_workers_share_the_cores() -> None:
    with WorkerPool(os.cpu_count() or 1) as pool:
        assert set(pool.submit(tell_threads).result(timeout=60)) == {"1"}


def test_workers_die_with_their_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT])
    workers = wait_for_workers(parent.pid)
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def wait_for_workers(parent: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        spawned = [c for c in psutil.Process(parent).children() if "spawn_main" in " ".join(c.cmdline())]
        if len(spawned) == 2:
            time.sleep(1)  # until they have got past their own start
            return spawned
        time.sleep(0.05)
    raise AssertionError("no workers came up")
