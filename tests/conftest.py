"""What tests share: where real data and real models lie, and how tests that need them are skipped."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from flows.configuration.cache import cache_folder
from pipeline.assets.store import find_asset
from tests.support.command_line import serve_commands
from tests.support.places import REPOSITORY, SHARED

# A busy machine is slow, not wrong: no test is judged by the clock.
settings.register_profile("rampforge", deadline=None)
settings.register_profile("fast", deadline=None, max_examples=15)
settings.load_profile("rampforge")


IDLE_SERVICES = (
    "CANCELLATION_CLEANUP CLEANUP_RECONCILER FOREMAN LATE_RUNS PAUSE_EXPIRATIONS REPOSSESSOR SCHEDULER TRIGGERS"
)
"""Services of Prefect's server that poll for what no run of ours leaves: schedules, workers, automations."""
WITH_PROCESSES = frozenset({"prefect_server", "s3_server", "own_server", "page"})
"""Fixtures that start servers or a browser."""
_OF_COMMANDS = """
api notebooks runs servers flows/checks flows/distillation flows/evaluation flows/monitoring pipeline/inspecting
pipeline/search_server pipeline/serving pipeline/storage
"""
OF_COMMANDS = tuple(_OF_COMMANDS.split())
"""Folders of tests that start commands, servers or worker processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here, and say what is missing; mark what starts processes."""
    missing = [name for name in ("enwiki-sample", "smollm2-135m-instruct", "en_core_web_sm") if not _have(name)]
    for item in items:
        folder = item.path.parent.relative_to(REPOSITORY / "tests").as_posix()
        if folder.startswith(OF_COMMANDS) or not WITH_PROCESSES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.processes)
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="the shared data folder is not beside the checkout"))
        if item.get_closest_marker("assets") and missing:
            item.add_marker(pytest.mark.skip(reason="rampforge assets get demo"))


def _have(asset: str) -> bool:
    return find_asset(asset, cache_folder()) is not None


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    return SHARED


@pytest.fixture
def assets() -> Path:
    """The cache of assets."""
    return cache_folder()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a Prefect server of our own: flows then need not start one each."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    services = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "0" for name in IDLE_SERVICES.split()}
    quiet = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0"}
    environment = os.environ | {"PREFECT_HOME": str(home)} | quiet | services
    command = [
        sys.executable,
        "-m",
        "prefect",
        "server",
        "start",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--no-ui",
    ]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        api = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{api}/health") as reply:
                if reply.status == 200:
                    break
            time.sleep(0.2)
        served = environment | {"PREFECT_API_URL": api}
        with serve_commands(served, home):
            yield served
        server.terminate()
        server.wait(timeout=30)
