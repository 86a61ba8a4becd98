"""Pool of processes for CPU-bound work, kept for the whole run so that models and libraries are imported once.

Guarantees: when the run is stopped, calls to language models in flight are finished and kept; when the parent dies, by
any signal, its workers die too, so that no orphan writes into a journal that a resumed run has taken over; when a
worker dies, only its shard fails and the pool is recreated.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, ParamSpec, Self, TypeVar

from flows.process.interruption import INTERRUPTION, StoppedError, defer_interrupts
from flows.process.logs import listen_to_ourselves
from flows.process.spawning import ScriptlessContext

P = ParamSpec("P")
T = TypeVar("T")

MARGIN = 5.0
"""Seconds beyond the grace period for a worker to store its results."""
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
QUIET = {"TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
"""Settings that silence libraries which would disturb the progress display."""


class WorkerPool:
    """Pool of spawned processes that share the cores of the machine evenly."""

    def __init__(self, workers: int, grace: float = 0.0) -> None:
        """`grace`: seconds that calls in flight get to finish when the run is stopped."""
        self.stopping = False
        self._grace = grace
        self.workers = workers or os.cpu_count() or 1
        # A killed worker leaves locks of its libraries behind. Python cleans them up; no warning is needed.
        silence = "ignore:resource_tracker"
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), silence)))
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in some process. Function and arguments must be picklable."""
        resource_tracker.ensure_running()  # started together with a worker, it would re-enable SIGINT in the worker
        with defer_interrupts(), self._lock:
            if self.stopping:
                raise StoppedError("the run is being stopped")
            if self._executor is None:
                self._executor = self._start()
            try:
                return self._executor.submit(function, *args, **kwargs)
            except BrokenProcessPool:
                self._executor.shutdown(wait=False, cancel_futures=True)
                self._executor = self._start()
                return self._executor.submit(function, *args, **kwargs)

    def _start(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self.workers)
        level = logging.getLogger("pipeline").level
        context = ScriptlessContext()
        return ProcessPoolExecutor(self.workers, context, initializer=_enter_worker, initargs=(threads, level))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        with self._lock:
            self.stopping = True
            executor = self._executor
        if executor is None:
            return
        if kind is not None:
            self._stop(executor)
        executor.shutdown(wait=True, cancel_futures=True)

    def _stop(self, executor: ProcessPoolExecutor) -> None:
        """Ask the workers to stop; kill those that do not in time, or at a second Ctrl-C."""
        processes = list((executor._processes or {}).values())
        for process in processes:
            process.terminate()
        executor.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + self._grace + MARGIN
        try:
            while (alive := [p.sentinel for p in processes if p.is_alive()]) and time.monotonic() < deadline:
                wait(alive, timeout=deadline - time.monotonic())
        finally:
            for process in processes:
                process.kill()


def _enter_worker(threads: int, level: int) -> None:
    """Prepare a new process: a fair share of threads, SIGINT ignored, tied to the parent's lifetime."""
    for name in THREAD_LIMITS:
        os.environ[name] = str(threads)
    os.environ.update(QUIET)
    INTERRUPTION.install_handlers()
    listen_to_ourselves(level)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    atexit.register(_leave)  # exit handlers run in reverse order of registration


def _leave() -> None:
    """Exit immediately: unloading PyTorch would take a second or two, for which the caller would wait."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
