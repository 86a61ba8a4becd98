"""A Prefect API of our own for as long as we run, where the user has named no server or one that does not answer.

Prefect would start one itself, but as a plain child: Ctrl-C reaches it before our last report does, and `kill -9`
leaves it behind. Ours is a `BoundProcess`. It uses the database in Prefect's home; where that is locked or broken, one
of its own for the while.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from queue import Empty, Queue
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from pipeline.errors import RampforgeError
from pipeline.serving.bound_process import BoundProcess
from pipeline.serving.managed_server import find_port

log = logging.getLogger(__name__)

SERVER = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "critical"]
ENVIRONMENT = {"PREFECT_SERVER_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
START_SECONDS = 120.0
ANSWER_SECONDS = 5.0
DISMISS_SECONDS = 10.0


class LocalApiError(RampforgeError):
    """Prefect's API did not come up."""


@contextmanager
def local_api() -> Iterator[None]:
    """Make Prefect talk to a temporary API inside the block, unless its settings name a server."""
    with nullcontext("") if name_server() else temporary_api():
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


def dismiss_events(seconds: float) -> None:
    """Let Prefect tell its API for this long what it still has to tell, and drop the rest.

    Left to itself it waits for that as we exit: for minutes when the API is gone, and once in some hundreds of runs
    without end. This reaches into Prefect (3.8), whose worker for events knows no giving up.
    """
    from prefect.events.worker import EventsWorker

    held = EventsWorker._instances  # type: ignore[misc]  # Prefect types what the class holds as an instance's own
    workers = list(held.values())
    if not seconds:
        for worker in workers:
            _empty(worker._queue)  # what ends the worker needs room there
    draining = {worker._drain(): worker for worker in workers}  # the next event makes a new worker
    for future in wait(draining, timeout=seconds).not_done:
        worker = draining[future]
        _empty(worker._queue)
        worker._queue.put_nowait(None)  # the end of it, which stood last in line
        if worker._loop and worker._done_event:  # it was started
            worker._loop.call_soon_threadsafe(worker._done_event.set)


def _empty(queue: Queue[Any]) -> None:
    with suppress(Empty):
        while True:
            queue.get_nowait()


@contextmanager
def temporary_api(apart: bool = False) -> Iterator[str]:
    """Make Prefect talk to an API of our own inside the block; its URL.

    `apart`: on a database that goes with it. Raises LocalApiError when it does not come up even so.
    """
    with ExitStack() as stack:
        try:
            url = stack.enter_context(_serve(_place_database(stack) if apart else {}))
        except LocalApiError:
            if apart:
                raise
            log.warning("Prefect's own database is locked or broken: this run is not kept in it")
            url = stack.enter_context(_serve(_place_database(stack)))
        stack.enter_context(_named(url))
        stack.callback(dismiss_events, DISMISS_SECONDS)
        yield url


def _place_database(stack: ExitStack) -> dict[str, str]:
    """The setting for a database that is gone with the stack."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="rampforge-prefect-")))
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}"}


@contextmanager
def _serve(settings: Mapping[str, str]) -> Iterator[str]:
    """The API, under these settings more than ours, inside the block; its URL."""
    port = find_port()
    command = [sys.executable, "-m", *SERVER, "--host", "127.0.0.1", "--port", str(port)]
    inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment = inherited | ENVIRONMENT | dict(settings)
    with Path(os.devnull).open("wb") as nowhere, BoundProcess(command, environment, nowhere) as server:
        url = f"http://127.0.0.1:{port}/api"
        _wait_until_healthy(server, url)
        yield url


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Make Prefect's settings name an API inside the block."""
    from prefect.context import refresh_global_settings_context

    named = os.environ.get("PREFECT_API_URL")
    try:
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
