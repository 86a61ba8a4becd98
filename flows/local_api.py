"""A Prefect API of our own for as long as we run, where the user has named no server.

Prefect would start one itself, but as a plain child: Ctrl-C reaches it before our last report does, and `kill -9`
leaves it behind. Ours lives in a session of its own and has a guard, a small process that notices when we are gone.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from pipeline.errors import RampforgeError

SERVER = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "critical"]
ENVIRONMENT = {"PREFECT_SERVER_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
GUARD = """
import os, signal, sys
sys.stdin.buffer.read()  # ends when the process at the other end is gone, however it went
try:
    os.kill(int(sys.argv[1]), signal.SIGTERM)
except ProcessLookupError:
    pass
"""
START_SECONDS = 120.0
STOP_SECONDS = 5.0


class LocalApiError(RampforgeError):
    """Prefect's API did not come up."""


@contextmanager
def local_api() -> Iterator[None]:
    """Make Prefect talk to a temporary API inside the block, unless its settings name a server."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import PREFECT_API_URL

    if PREFECT_API_URL.value():
        yield
        return
    port = _find_port()
    server = _start_apart(["-m", *SERVER, "--host", "127.0.0.1", "--port", str(port)], os.environ | ENVIRONMENT)
    guard = _start_apart(["-c", GUARD, str(server.pid)], os.environ)
    try:
        url = f"http://127.0.0.1:{port}/api"
        _wait_until_healthy(server, url)
        os.environ["PREFECT_API_URL"] = url
        refresh_global_settings_context()
        yield
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _stop(server, guard)


def _start_apart(words: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start Python in a session of its own, listening to us on its standard input."""
    command = [sys.executable, *words]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own words


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_healthy(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and server.poll() is None:
            try:
                if client.get(f"{url}/health").status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
    raise LocalApiError(
        "Prefect's temporary API did not start", "see why with `prefect server start`, or name one: PREFECT_API_URL"
    )


def _stop(server: subprocess.Popen[bytes], guard: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    guard.communicate()
