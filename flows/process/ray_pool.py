"""Ray cluster for CPU- and GPU-bound work: shards as Ray tasks.

Ray receives functions and plain values, and returns commits; everything else is shared through the run's own folder, so
that no node needs Prefect, a key or an open port. A node that dies costs the shards it had in flight: Ray starts them
again elsewhere. prefect-ray is not used: its tasks report to Prefect from every node, which must then reach the API,
and each costs several times the bookkeeping of a shard.

Guarantees: an address without a server, and a node of another version or without access to the run's folder, are
rejected before any work; when the run is stopped, work in flight is cancelled.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from flows.process.interruption import StoppedError
from flows.process.worker_pool import QUIET, THREAD_LIMITS
from pipeline.errors import ConfigError
from schemas.config import ExecutionConfig

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_SECONDS = 10.0
"""Maximum time for the cluster's head to accept a connection."""
NODE_SECONDS = 60.0
"""Maximum time for a node to start a process and report its versions."""
RESTARTS = 5
"""Maximum restarts by Ray of a shard whose node or process died. Ray never retries errors of rampforge."""


class RayPool:
    """Connection to a cluster, to which shards are submitted."""

    def __init__(self, execution: ExecutionConfig) -> None:
        """Connect. Raises ConfigError where Ray is not installed or nothing answers."""
        self._ray = connect(execution)
        self._execution = execution
        self._lock = threading.Lock()
        self._under_way: dict[Future[Any], Any] = {}
        self._exported: dict[tuple[Callable[..., Any], float], Any] = {}
        self.stopping = False

    @property
    def workers(self) -> int:
        """Return how many shards there is room for at once."""
        cpus = float(self._ray.cluster_resources().get("CPU", 1))
        return self._execution.workers or max(1, int(cpus / self._execution.shard_cpus))

    def submit(self, gpus: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function on a node with this many free GPUs. Function and arguments must be picklable."""
        with self._lock:
            if self.stopping:
                raise StoppedError("the run is being stopped")
            reference = self._export(function, gpus).remote(*args, **kwargs)
            future: Future[T] = reference.future()
            self._under_way[future] = reference
        future.add_done_callback(self._forget)
        return future

    def _export(self, function: Callable[..., Any], gpus: float) -> Any:
        """Return the function as a Ray remote function, made once: every node has to fetch and unpack each one."""
        if (function, gpus) not in self._exported:
            needs = {"num_cpus": self._execution.shard_cpus, "num_gpus": gpus}
            remote = self._ray.remote(max_retries=RESTARTS, name=function.__name__, **needs)
            self._exported[function, gpus] = remote(function)
        return self._exported[function, gpus]

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._under_way.pop(future, None)

    def check_nodes(self, root: Path | None) -> None:
        """Raise ConfigError unless every node has the same versions of Python and rampforge and can access the run's
        folder.
        """
        here = describe_node(root)
        for node in self._ray.nodes():
            there = self._ask_node(node, root) if node["Alive"] else here
            differing = [f"{key} {there[key]}, here {here[key]}" for key in here if there[key] != here[key]]
            if differing:
                raise ConfigError(
                    f"Ray node {node['NodeManagerAddress']} differs: {'; '.join(differing)}",
                    "run the same image on all nodes, with a shared folder or an s3:// URL",
                )

    def _ask_node(self, node: dict[str, Any], root: Path | None) -> dict[str, str]:
        strategies = import_module("ray.util.scheduling_strategies")
        pinned = strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        reference = self._ray.remote(describe_node).options(num_cpus=0, scheduling_strategy=pinned).remote(root)
        try:
            answer: dict[str, str] = self._ray.get(reference, timeout=NODE_SECONDS)
        except Exception as error:  # whatever Ray raises: the node is unusable
            raise ConfigError(
                f"Ray node {node['NodeManagerAddress']} cannot run rampforge: {_shorten(error)}",
                "install the same rampforge on every node",
            ) from error
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        with self._lock:
            self.stopping = True
            under_way = list(self._under_way.values())
        for reference in under_way:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def connect(execution: ExecutionConfig) -> Any:
    """Return the module `ray`, connected to the configured cluster, or to one started here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray = import_module("ray")
    except ImportError:
        raise ConfigError("execution.engine is ray, but Ray is not installed", "pip install 'rampforge[ray]'") from None
    if ray.is_initialized():
        return ray
    threads = dict.fromkeys(THREAD_LIMITS, str(max(1, int(execution.shard_cpus))))
    options = {
        "runtime_env": {"env_vars": threads | QUIET},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
        "include_dashboard": False,
    }
    address = execution.ray_address
    if address is None:
        ray.init(address="local", num_cpus=execution.workers or os.cpu_count(), **options)
        return ray
    if address != "auto":
        _check_listening(address)
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster at {address}: {_shorten(error)}", "ray status --address HOST:PORT"
        ) from error
    return ray


def _check_listening(address: str) -> None:
    """Check the address, because Ray itself retries for minutes and then ends the process."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"execution.ray_address: cannot connect to {address} ({error})",
            "use HOST:PORT of `ray start --head --port=6379`, or leave it out to start Ray on this machine",
        ) from None


def _shorten(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def describe_node(root: Path | None) -> dict[str, str]:
    """Return what must be the same on every node. `root`: the run's folder, if all nodes must access it."""
    return {
        "rampforge": version("rampforge"),
        "python": ".".join(map(str, sys.version_info[:2])),
        "sees the run": "yes" if root is None or root.exists() else f"no ({root})",
    }
