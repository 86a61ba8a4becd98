"""A small Prefect installation as a company runs one: PostgreSQL, a server on it, workers; all ours, all ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from pipeline.serving.bound_process import BoundProcess

PREFECT = [sys.executable, "-m", "prefect"]
PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
POSTGRES = PROGRAMS[-1].parent if PROGRAMS else Path(found).parent if (found := shutil.which("initdb")) else None
"""Folder of PostgreSQL's programs; None where it is not installed."""


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    """The first value of the condition that is true. Fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


@contextmanager
def run_postgres() -> Iterator[str]:
    """A PostgreSQL of our own on the loopback; yields the URL of an empty database."""
    assert POSTGRES is not None
    folder, port = Path(tempfile.mkdtemp(prefix="postgres-")), find_port()
    as_user = []
    if os.geteuid() == 0:  # PostgreSQL refuses to be run by root; its package brings a user
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = ["-D", str(folder / "data")]
    create = [str(POSTGRES / "initdb"), *data, "-A", "trust", "-U", "rampforge", "-E", "UTF8", "--no-sync"]
    serve = [str(POSTGRES / "postgres"), *data, "-p", str(port), "-k", "", "-h", "127.0.0.1"]
    is_ready = [str(POSTGRES / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
    try:
        subprocess.run([*as_user, *create], check=True, capture_output=True, cwd=folder)
        with run_process([*as_user, *serve], os.environ, folder / "log"):
            wait_until("PostgreSQL", lambda: subprocess.run(is_ready).returncode == 0)
            yield f"postgresql+asyncpg://rampforge@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def run_process(words: list[str], environment: Mapping[str, str], log: Path) -> Iterator[BoundProcess]:
    """A process in a session of its own; it goes with all its descendants, also when the test itself is killed."""
    with log.open("ab") as output, BoundProcess(words, environment, output) as process:
        try:
            yield process
        finally:
            kill_tree(process.pid)


def kill_tree(pid: int) -> None:
    """What the loss of a machine does: the process and its descendants are gone at once."""
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)


class PrefectApi:
    """What a test asks of the server."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=f"{url}/", trust_env=False, timeout=30.0)

    def is_up(self) -> bool:
        try:
            return self.client.get("health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def post(self, path: str, **body: Any) -> Any:
        reply = self.client.post(path, json=body)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def deployment(self, name: str) -> dict[str, Any]:
        reply = self.client.get(f"deployments/name/{name}")
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found

    def start(self, name: str, /, **parameters: Any) -> str:
        run = self.post(f"deployments/{self.deployment(name)['id']}/create_flow_run", parameters=parameters)
        return str(run["id"])

    def state(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"flow_runs/{run}").json()["state"]
        return found

    def states(self, run: str) -> list[str]:
        found = self.client.get("flow_run_states/", params={"flow_run_id": run}).json()
        return [state["name"] for state in sorted(found, key=lambda state: str(state["timestamp"]))]

    def cancel(self, run: str) -> None:
        self.post(f"flow_runs/{run}/set_state", state={"type": "CANCELLING", "name": "Cancelling"})

    def artifacts(self, run: str) -> dict[str, dict[str, Any]]:
        found = self.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}}, limit=200)
        return {artifact["key"]: artifact for artifact in found}

    def wait_for(self, run: str, state: str, seconds: float = 400.0) -> dict[str, Any]:
        wait_until(f"flow run {state}", lambda: self.state(run)["name"] == state, seconds)
        return self.state(run)
