"""A temporary Prefect API for the duration of a command, where no server is configured or the configured one does not
answer.

Prefect would start one itself, but as a plain child: Ctrl-C reaches it before the last report is sent, and `kill -9`
leaves it behind. This one is a `BoundProcess` with a database of its own, so nothing is left in Prefect's home.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx

from flows.prefect_api.database import keep_template, place_database
from pipeline.errors import ConfigError, RampforgeError
from pipeline.http.proxies import open_client
from pipeline.serving.bound_process import BoundProcess
from pipeline.serving.managed_server import find_port

SERVER = ["uvicorn", "--factory", "prefect.server.api.server:create_app", "--lifespan", "on", "--log-level", "critical"]
ENVIRONMENT = {"PREFECT_SERVER_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
START_SECONDS = 120.0
ANSWER_SECONDS = 5.0
DISMISS_SECONDS = 10.0


class LocalApiError(RampforgeError):
    """Prefect's API did not come up."""


@contextmanager
def local_api() -> Iterator[None]:
    """Set a temporary API inside the block, unless Prefect's settings name a server."""
    with nullcontext("") if name_server() else temporary_api():
        yield


def name_server() -> str | None:
    """URL of the server in Prefect's settings."""
    from prefect.settings import PREFECT_API_URL

    url: str | None = PREFECT_API_URL.value()
    return url


def answers(url: str) -> bool:
    """Whether a Prefect server answers: not one without its database, nor another kind of server."""
    return find_fault(url) is None


def find_fault(url: str) -> str | None:
    """The reason why no Prefect server answers; None when one does."""
    try:
        with open_client(url, timeout=ANSWER_SECONDS) as client:
            reply = client.get(f"{url.rstrip('/')}/ready")
        reply_json = reply.json() if reply.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, httpx.InvalidURL, ConfigError) as error:
        return f"does not answer ({type(error).__name__})"
    except ValueError:
        return "answers with something that is not Prefect's API"
    if reply_json is None:
        return f"answers HTTP {reply.status_code}"
    return (
        None
        if isinstance(reply_json, dict) and "message" in reply_json
        else "answers with something that is not Prefect's API"
    )


def dismiss_events(seconds: float) -> None:
    """Wait this long for Prefect to deliver its pending events, and drop the rest.

    By default Prefect waits for them at exit: for minutes when the API is gone, and once in some hundreds of runs
    without end. This uses private attributes of Prefect (3.9), whose event worker has no timeout."""
    from prefect.events.worker import EventsWorker

    instances = EventsWorker._instances  # type: ignore[misc]  # Prefect types what the class holds as an instance's own
    workers = list(instances.values())
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
def temporary_api() -> Iterator[str]:
    """Set a temporary API in Prefect's settings inside the block; yield its URL. Raises LocalApiError."""
    with place_database() as database, _serve(database) as url, _named(url):
        keep_template(database)
        try:
            yield url
        finally:
            dismiss_events(DISMISS_SECONDS)


@contextmanager
def _serve(database: Path) -> Iterator[str]:
    """The API over a database, inside the block; its URL."""
    port = find_port()
    command = [sys.executable, "-m", *SERVER, "--host", "127.0.0.1", "--port", str(port)]
    inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    places = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
        "PREFECT_SERVER_MEMO_STORE_PATH": str(database.parent / "memo_store.toml"),
    }
    environment = inherited | ENVIRONMENT | places
    with Path(os.devnull).open("wb") as nowhere, BoundProcess(command, environment, nowhere) as server:
        url = f"http://127.0.0.1:{port}/api"
        if not server.wait_until_healthy(f"{url}/health", START_SECONDS):
            raise LocalApiError(
                "Prefect's temporary API did not start",
                "see why with `prefect server start`, or name one: PREFECT_API_URL",
            )
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
