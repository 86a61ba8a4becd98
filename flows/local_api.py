"""A Prefect API of our own for as long as we run, where the user has named no server or one that does not answer.

Prefect would start one itself, but as a plain child: Ctrl-C reaches it before our last report does, and `kill -9`
leaves it behind. Ours is a `BoundProcess`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import httpx

from pipeline.errors import RampforgeError
from pipeline.serving.bound_process import BoundProcess
from pipeline.serving.managed_server import find_port

SERVER = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "critical"]
ENVIRONMENT = {"PREFECT_SERVER_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
START_SECONDS = 120.0
ANSWER_SECONDS = 5.0


class LocalApiError(RampforgeError):
    """Prefect's API did not come up."""


@contextmanager
def local_api() -> Iterator[None]:
    """Make Prefect talk to a temporary API inside the block, unless its settings name a server."""
    with nullcontext() if name_server() else temporary_api():
        yield


def name_server() -> str | None:
    """The server that Prefect's settings name."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url


def answers(url: str) -> bool:
    """Whether a Prefect server is there: one that cannot reach its database is not."""
    try:
        with httpx.Client(trust_env=False, timeout=ANSWER_SECONDS) as client:
            return client.get(f"{url}/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


@contextmanager
def temporary_api() -> Iterator[None]:
    """Make Prefect talk to an API of our own inside the block."""
    from prefect.context import refresh_global_settings_context

    port = find_port()
    command = [sys.executable, "-m", *SERVER, "--host", "127.0.0.1", "--port", str(port)]
    named = os.environ.pop("PREFECT_API_URL", None)
    with BoundProcess(command, os.environ | ENVIRONMENT) as server:
        url = f"http://127.0.0.1:{port}/api"
        try:
            _wait_until_healthy(server, url)
            os.environ["PREFECT_API_URL"] = url
            refresh_global_settings_context()
            yield
        finally:
            os.environ.pop("PREFECT_API_URL", None)
            if named is not None:
                os.environ["PREFECT_API_URL"] = named
            refresh_global_settings_context()


def _wait_until_healthy(server: BoundProcess, url: str) -> None:
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
