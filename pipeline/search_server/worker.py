"""Worker process: opens the engine, and serves the connections from the supervisor.

It ends on SIGTERM or SIGINT, after answering the requests in progress, and with the supervisor.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from contextlib import AsyncExitStack, suppress
from ctypes import Structure, c_double, c_uint64
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry

from pipeline.errors import RampforgeError
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.http_connection import HttpConnection
from pipeline.search_server.metrics import Metrics, share_metrics
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.socket_queue import receive_socket

GRACE = 10
"""Seconds for requests in progress after a signal."""
KEEP_ALIVE = 75
"""Seconds of an idle connection: more than clients use, so that none is closed during a request."""
AT_ONCE = 64
"""Connections received in one turn of the event loop."""
REST_SECONDS = 1.0
"""Pause of receiving at the limit of open files."""
READY = "ready"


class WorkerState(Structure):
    """State of a worker, in memory shared with the supervisor."""

    _fields_ = (("closed", c_uint64), ("heartbeat", c_double))
    closed: int
    """Closed connections."""
    heartbeat: float
    """Time of the last turn of its event loop, by the monotonic clock."""


@dataclass(frozen=True, slots=True)
class WorkerSockets:
    """Channels between a worker and the supervisor."""

    queue: socket.socket
    """Receives connections; closed with the supervisor."""
    pipe: Connection
    """Sends `READY`, or why the worker cannot start."""
    state: WorkerState
    metrics: Path
    """The folder of the metrics of all workers."""
    row: int
    """The number of this worker."""
    restarted: bool
    """Whether it replaces a dead one."""


class WorkerServer(uvicorn.Server):
    """uvicorn's server with a queue of connections in place of a listening socket."""

    def __init__(self, config: uvicorn.Config, sockets: WorkerSockets, app: RetrievalApp, metrics: Metrics) -> None:
        super().__init__(config)
        self._sockets = sockets
        self._app = app
        self._metrics = metrics
        self._running = AsyncExitStack()
        self._opening: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to receive connections."""
        await self._running.enter_async_context(self._app.running())
        await super().startup(sockets=[])
        self._watch()
        self._sockets.state.heartbeat = time.monotonic()
        self._sockets.pipe.send(READY)

    async def on_tick(self, counter: int) -> bool:
        """Update heartbeat, gauges and time limits; called ten times a second."""
        self._sockets.state.heartbeat = time.monotonic()
        self._metrics.connections.set(len(self.server_state.connections))
        self._metrics.in_flight.set(len(self.server_state.tasks))
        self._metrics.waiting.set(self._app.waiting)
        if counter % 10 == 0:
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, HttpConnection):
                    connection.on_second()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop to receive connections, and finish the requests in progress."""
        asyncio.get_running_loop().remove_reader(self._sockets.queue.fileno())
        await super().shutdown(sockets)
        await self._running.aclose()

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._sockets.queue.fileno(), self._receive)

    def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            try:
                connection = receive_socket(self._sockets.queue)
            except BlockingIOError:
                return
            except OSError:
                loop.remove_reader(self._sockets.queue.fileno())
                loop.call_later(REST_SECONDS, self._watch)
                return
            if connection is None:
                self.should_exit = True
                loop.remove_reader(self._sockets.queue.fileno())
                return
            self._open(loop, connection)

    def _open(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        make = partial(HttpConnection, self.config, self.server_state, {}, loop, self._count_closed)
        task: asyncio.Task[object] = loop.create_task(loop.connect_accepted_socket(make, connection))
        self._opening.add(task)
        task.add_done_callback(self._settle)

    def _settle(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if task.cancelled() or task.exception():  # the client has disconnected already
            self._count_closed()

    def _count_closed(self) -> None:
        self._sockets.state.closed += 1


def run_worker(settings: ServerSettings, sockets: WorkerSockets) -> None:
    """Run a worker. An error that prevents its start is sent to the supervisor."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    registry, metrics = share_metrics(sockets.metrics, sockets.row), Metrics(CollectorRegistry())
    metrics.restarts.inc(sockets.restarted)
    try:
        engine = settings.open_engine()
    except RampforgeError as error:
        sockets.pipe.send((error.what, error.fix))
        return
    metrics.workers.set(1)
    app = RetrievalApp(engine, settings, metrics, registry)
    config = uvicorn.Config(
        app,
        http=HttpConnection,
        interface="asgi3",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    # Exempt the loaded modules and index from garbage collection during requests.
    gc.collect()
    gc.freeze()
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal that ended it once more
        WorkerServer(config, sockets, app, metrics).run()
