"""The only place where clients are accepted: each new connection goes to the worker with the fewest.

Left to the kernel, connections are spread by chance: of 64, one of two workers may get 42, and as clients keep their
connections, its queries wait while the other worker idles.

Promises: a connection is with one worker, in the queue of one, or waits here; none goes to a worker that is being
started, and to one whose event loop is stuck only where all are.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

SILENT_SECONDS = 2.0
"""Of an event loop, after which others are preferred."""
AT_ONCE = 64
"""Connections that are accepted before the workers are looked after."""
REST_SECONDS = 1.0
"""How long none is accepted where this process may open no more files, or every queue is full."""


class Worker(Protocol):
    """One that connections are sent to."""

    ready: bool
    """Whether it takes any."""

    @property
    def connections(self) -> int:
        """How many it has."""
        ...

    def seconds_silent(self, now: float) -> float:
        """How long ago its event loop had a turn."""
        ...

    def send(self, connection: socket.socket) -> bool:
        """Hand a connection over, and close it here; False where there is no room."""
        ...


class ConnectionBalancer:
    """Accepts at one socket."""

    def __init__(self, listener: socket.socket, workers: Sequence[Worker]) -> None:
        listener.setblocking(False)
        self.listener = listener
        self._workers = workers
        self._waiting: deque[socket.socket] = deque()
        self._rests_until = 0.0

    def is_open(self) -> bool:
        """Whether a connection that comes now would find a worker; otherwise it waits in the kernel."""
        return time.monotonic() >= self._rests_until and any(worker.ready for worker in self._workers)

    def accept(self) -> None:
        """Share out the connections that have come."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._rest()
                return
            self.share_out([connection])

    def share_out(self, connections: Sequence[socket.socket]) -> None:
        """Send connections to workers, after those that wait already."""
        self._waiting += connections
        while self._waiting and self.is_open():
            if self._send(self._waiting[0]):
                self._waiting.popleft()
            else:
                self._rest()

    def close(self) -> None:
        """Accept no more."""
        for connection in (self.listener, *self._waiting):
            connection.close()

    def _send(self, connection: socket.socket) -> bool:
        now = time.monotonic()

        def burden(worker: Worker) -> tuple[bool, int]:
            return worker.seconds_silent(now) > SILENT_SECONDS, worker.connections

        ready = [worker for worker in self._workers if worker.ready]
        return any(worker.send(connection) for worker in sorted(ready, key=burden))

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
