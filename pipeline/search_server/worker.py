"""One worker process: opens the engine and answers at its socket until it is told to stop or its parent is gone."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import suppress
from multiprocessing.connection import Connection

import uvicorn

from pipeline.errors import RampforgeError
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.counters import Counters
from pipeline.search_server.settings import ServerSettings

KEEP_ALIVE = 75
"""Seconds an idle connection is kept: longer than clients keep theirs, so that none is closed under a request."""
GRACE = 10
"""Seconds that requests under way have to end when the worker is told to stop."""
READY = "ready"


def run_worker(settings: ServerSettings, listener: socket.socket, counters: Counters, parent: Connection) -> None:
    """Work until the end. What stops it from starting is told to the parent in words."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        engine = settings.open_engine()
    except RampforgeError as error:
        parent.send((error.what, error.fix))
        return
    app = RetrievalApp(engine, settings, counters)
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    counters.begin()
    # What is loaded now stays: collecting must not walk over it in the middle of a request.
    gc.collect()
    gc.freeze()
    # Uvicorn raises again, when it is done, the signal that ended it.
    with suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(uvicorn.Server(config), listener, parent))


async def _serve(server: uvicorn.Server, listener: socket.socket, parent: Connection) -> None:
    """Serve; tell the parent when requests are heard, and stop when it is gone."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(parent.fileno())
        server.should_exit = True

    loop.add_reader(parent.fileno(), stop)  # it never writes: what can be read is its end
    loop.call_soon(parent.send, READY)
    await server.serve(sockets=[listener])
