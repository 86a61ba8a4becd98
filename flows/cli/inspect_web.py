"""Serves the pages of `rampforge inspect --web` on the loopback, and gives them what they cannot know: the time, the
job under way, a tokenizer.
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
"""The usual port, and how many from it on are tried where it is taken."""


def serve_pages(place: DataLocation, port: int | None, tokenizer: str | None) -> None:
    """Serve until Ctrl-C at a port; at the first free one from the usual on where none is named.

    Raises ConfigError for a port, AssetError for a tokenizer, InspectError for a place.
    """
    console = Console(stderr=True)
    listener = _listen(port)  # before a run is opened: that takes a thread, which must not outlive a refusal
    token = secrets.token_urlsafe(24)
    around = PageServices(
        clock=time.monotonic,
        now=lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        read_live=read_job,
        reviewer=_name_reviewer(),
        tell=lambda line: console.print(line, soft_wrap=True, highlight=False, markup=False),
        tokenizer=tokenizer or "",
        masker=open_masker(tokenizer) if tokenizer else None,
    )
    app = build_app(place, token, around)
    console.print(f"http://{HOST}:{listener.getsockname()[1]}/?token={token}", soft_wrap=True, highlight=False)
    console.print("opens the pages in a browser on this machine; Ctrl-C ends it")
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_level="warning", access_log=False, server_header=False,
        timeout_graceful_shutdown=GRACE,
    )  # fmt: skip
    with suppress(KeyboardInterrupt):  # uvicorn raises again, when it is done, the signal that ended it
        uvicorn.Server(config).run(sockets=[listener])


def read_job(run: Path) -> LiveView:
    """What a run is doing, as its files show it."""
    folder, now = RunFolder(run), time.time()
    state, stage = read_state(folder, now), find_stage(folder, now)
    if stage is None:
        return LiveView(state, None, (), "")
    return LiveView(state, stage, tuple(read_shards(folder, stage.stage)), describe_stage(stage))


def _listen(port: int | None) -> socket.socket:
    """A socket that listens, so that a browser may come as soon as the address is printed. Raises ConfigError."""
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
        raise ConfigError(f"port {port} cannot be had: {error.strerror}", "--port 0 takes a free one") from None
    return listener


def _name_reviewer() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
