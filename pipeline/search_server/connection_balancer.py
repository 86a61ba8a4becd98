"""Connection balancer: the only acceptor of clients, which sends each connection to the worker with the fewest.

The kernel would distribute connections at random: of 64, one of two workers may get 42, and as clients keep their
connections, its queries wait while the other worker idles.

Guarantees: a connection is with one worker, in the queue of one, or waits here; none is sent to a starting worker, and
to one whose event loop is stuck only when all are.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

SILENT_SECONDS = 2.0
"""Silence of an event loop after which others are preferred."""
AT_ONCE = 64
"""Connections accepted between checks of the workers."""
REST_SECONDS = 1.0
"""Pause of accepting at the limit of open files, or when every queue is full."""


class Worker(Protocol):
    """A receiver of connections."""

    ready: bool

    @property
    def connections(self) -> int:
        """Number of open connections."""

    def seconds_silent(self, now: float) -> float:
        """Time since the last turn of its event loop."""

    def send(self, connection: socket.socket) -> bool:
        """Send a connection, and close it here; False when the queue is full."""


class ConnectionBalancer:
    """The acceptor at one socket."""

    def __init__(self, listener: socket.socket, workers: Sequence[Worker]) -> None:
        listener.setblocking(False)
        self.listener = listener
        self._workers = workers
        self._waiting: deque[socket.socket] = deque()
        self._rests_until = 0.0

    def is_open(self) -> bool:
        """Whether a worker is available; otherwise connections wait in the kernel."""
        return time.monotonic() >= self._rests_until and any(worker.ready for worker in self._workers)

    def accept(self) -> None:
        """Accept and distribute the waiting connections."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._rest()
                return
            self.distribute([connection])

    def distribute(self, connections: Sequence[socket.socket]) -> None:
        """Send connections to workers, after those that wait already."""
        self._waiting += connections
        while self._waiting and self.is_open():
            if self._send(self._waiting[0]):
                self._waiting.popleft()
            else:
                self._rest()

    def close(self) -> None:
        """Close the listener and the waiting connections."""
        for connection in (self.listener, *self._waiting):
            connection.close()

    def _send(self, connection: socket.socket) -> bool:
        now = time.monotonic()

        def rank(worker: Worker) -> tuple[bool, int]:
            return worker.seconds_silent(now) > SILENT_SECONDS, worker.connections

        ready = [worker for worker in self._workers if worker.ready]
        return any(worker.send(connection) for worker in sorted(ready, key=rank))

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
