"""Search server: one process that accepts connections and restarts its workers.

The listening socket belongs to this process: connections wait while no worker is ready, and only those of a worker that
died are reset, which clients may retry (a search has no side effects). A hung worker is killed and replaced.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from multiprocessing.connection import wait
from pathlib import Path

from pipeline.search_server.connection_balancer import ConnectionBalancer
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.worker_process import SearchServerError, WorkerProcess

BACKLOG = 2048
STOP_SECONDS = 15.0
POLL_SECONDS = 0.25
LATE_SECONDS = 2.0
"""Delay of a check after which the supervisor was suspended itself, perhaps with its workers."""


class SearchServer:
    """The workers of one server; a context manager. Raises SearchServerError for an unavailable address."""

    def __init__(self, settings: ServerSettings) -> None:
        listener = open_listener(settings.host, settings.port)
        self.port: int = listener.getsockname()[1]
        self._metrics = tempfile.TemporaryDirectory(prefix="rampforge-metrics-")
        self.workers = [WorkerProcess(settings, Path(self._metrics.name), row) for row in range(settings.workers)]
        self._balancer = ConnectionBalancer(listener, self.workers)
        self._stopping = threading.Event()
        self._checked = self._awake_since = time.monotonic()

    def __enter__(self) -> SearchServer:
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._balancer.close()
        for worker in self.workers:
            worker.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.workers:
            worker.stop(deadline)
        self._metrics.cleanup()

    @property
    def ready(self) -> bool:
        """Whether every worker answers."""
        return all(worker.ready for worker in self.workers)

    def watch(self, until_ready: bool = False) -> None:
        """Distribute connections and restart workers until `stop` is called, or all are ready.

        Raises SearchServerError.
        """
        while not (self._stopping.is_set() or (until_ready and self.ready)):
            handles = [handle for worker in self.workers for handle in worker.handles()]
            listeners = [self._balancer.listener] if self._balancer.is_open() else []
            events = wait([*handles, *listeners], POLL_SECONDS)
            if self._balancer.listener in events:
                self._balancer.accept()
            is_due = time.monotonic() - self._checked >= POLL_SECONDS
            if is_due or events != [self._balancer.listener]:
                self._check()

    def stop(self) -> None:
        """End `watch`, from a signal handler or another thread."""
        self._stopping.set()

    def _check(self) -> None:
        now = time.monotonic()
        if now - self._checked > LATE_SECONDS:
            self._awake_since = now
        self._checked = now
        for worker in self.workers:
            self._balancer.distribute(worker.check(now, self._awake_since))


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SearchServerError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        what = f"cannot listen at {host}:{port}: {error.strerror or error}"
        raise SearchServerError(what, "name another with --host and --port") from None
