"""Server of the pages of `rampforge inspect --web` on the loopback address, with the time, the state of the run and a
tokenizer.
"""

from __future__ import annotations

import getpass
import secrets
import socket
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from rich.console import Console

from flows.models.tokenizers import open_masker
from flows.monitoring.live_files import find_stage, read_shards, read_state
from flows.monitoring.live_text import describe_stage
from pipeline.errors import ConfigError
from pipeline.inspecting.live_view import LiveView
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.web.app import PageServices, build_app
from pipeline.storage.run_folder import RunFolder

HOST = "127.0.0.1"
GRACE = 2
PORT, PORTS = 8377, 50
"""Default port, and the number of consecutive ports that are tried when it is in use."""


def serve_pages(place: DataLocation, port: int | None, tokenizer: str | None) -> None:
    """Serve until Ctrl-C, by default at the first free port from the usual one on.

    Raises ConfigError for a port, AssetError for a tokenizer, InspectError for a path.
    """
    console = Console(stderr=True)
    listener = _listen(port)  # before a run is opened: that starts a thread, which must not outlive an error
    token = secrets.token_urlsafe(24)
    around = PageServices(
        clock=time.monotonic,
        now=lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        read_live=read_job,
        reviewer=_name_reviewer(),
        log=lambda line: console.print(line, soft_wrap=True, highlight=False, markup=False),
        tokenizer=tokenizer or "",
        masker=open_masker(tokenizer) if tokenizer else None,
    )
    app = build_app(place, token, around)
    console.print(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}", soft_wrap=True, highlight=False)
    console.print("open it in a browser on this machine; stop with Ctrl-C")
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):  # uvicorn re-raises the signal that stopped it
        uvicorn.Server(config).run(sockets=[listener])


def read_job(run: Path) -> LiveView:
    """Return the state of a run from its files."""
    folder, now = RunFolder(run), time.time()
    state, stage = read_state(folder, now), find_stage(folder, now)
    if stage is None:
        return LiveView(state, None, (), "")
    return LiveView(state, stage, tuple(read_shards(folder, stage.stage)), describe_stage(stage))


def _listen(port: int | None) -> socket.socket:
    """Return a listening socket, so that a browser can connect as soon as the URL is printed. Raises ConfigError."""
    if port is not None:
        return _listen_at(port)
    for usual in range(PORT, PORT + PORTS):
        with suppress(ConfigError):
            return _listen_at(usual)
    return _listen_at(0)


def _listen_at(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise ConfigError(f"cannot bind port {port}: {error.strerror}", "use --port 0 for any free port") from None
    return listener


def _name_reviewer() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
