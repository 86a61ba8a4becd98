"""Process of one worker, for the supervisor."""

from __future__ import annotations

import logging
import multiprocessing
import socket
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from pipeline.errors import RampforgeError
from pipeline.search_server.metrics import drop_gauges
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.socket_queue import open_queue, receive_socket, send_socket
from pipeline.search_server.worker import READY, WorkerSockets, WorkerState, run_worker

log = logging.getLogger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
HOPELESS = 3
"""Consecutive deaths of one worker before it was ready, after which it is not restarted."""


class SearchServerError(RampforgeError):
    """A search server cannot be started, or its workers die repeatedly."""


class WorkerProcess:
    """One worker: its current process, and its queue, which outlives the process."""

    def __init__(self, settings: ServerSettings, metrics: Path, row: int) -> None:
        self.ready = False
        self._settings = settings
        self._metrics = metrics
        self._row = row
        self._queue, self._far_end = open_queue()
        self._sent = 0
        """Connections sent to this process."""
        self._state = WorkerState()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._starts = 0
        self._failures = 0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """The id of the process."""
        return self._process.pid if self._process else None

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return self._sent - self._state.closed

    def start(self) -> None:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        self._pipe, pipe = context.Pipe()
        self._sent, self._state = 0, context.RawValue(WorkerState)
        restarted = self._starts > 0
        sockets = WorkerSockets(self._far_end, pipe, self._state, self._metrics, self._row, restarted)
        self._process = context.Process(
            target=run_worker, args=(self._settings, sockets), name="search worker", daemon=True
        )
        self._process.start()
        self._starts += 1
        pipe.close()

    def handles(self) -> list[Connection | int]:
        """Handles for `wait`: messages of the process, and its end."""
        return [self._pipe, self._process.sentinel] if self._pipe and self._process else []

    def seconds_silent(self, now: float) -> float:
        """Time since the last turn of its event loop."""
        return now - self._state.heartbeat

    def send(self, connection: socket.socket) -> bool:
        """Send a connection; False when the queue is full."""
        try:
            send_socket(self._queue, connection)
        except OSError:
            return False
        self._sent += 1
        return True

    def check(self, now: float, silent_since: float) -> list[socket.socket]:
        """Replace a dead or hung process; the connections that it has not received.

        `silent_since`: silence before this time does not count. Raises SearchServerError for a process that cannot
        start.
        """
        if self._process is None:
            if now >= self._due:
                self.start()
            return []
        with suppress(EOFError, OSError):
            while self._pipe and self._pipe.poll():
                message = self._pipe.recv()
                if message != READY:
                    raise SearchServerError(*message)
                self.ready, self._failures = True, 0
        if not self._process.is_alive():
            return self._bury(now)
        silent = now - max(self._state.heartbeat, silent_since)
        if self.ready and silent > self._settings.hang_seconds:
            log.warning("a search worker has not answered for %.0f s and is replaced", silent)
            self._process.kill()
            self._process.join()
            return self._bury(now)
        return []

    def _bury(self, now: float) -> list[socket.socket]:
        code = self._process.exitcode if self._process else None
        self._failures = 0 if self.ready else self._failures + 1
        if self._failures == HOPELESS:
            raise SearchServerError(
                f"a worker died {HOPELESS} times before it was ready (exit code {code})", "see above"
            )
        log.warning("a search worker died (exit code %s) and is started again", code)
        drop_gauges(self._metrics, self._row)
        self._due = now + min(LONGEST_DELAY, FIRST_DELAY * 2**self._failures)
        self._drop()
        return self._take_back()

    def _take_back(self) -> list[socket.socket]:
        left = []
        with suppress(OSError):
            while (connection := receive_socket(self._far_end)) is not None:
                left.append(connection)
        return left

    def _drop(self) -> None:
        self.ready = False
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def terminate(self) -> None:
        """Let the process finish the requests in progress and end."""
        if self._process is not None:
            self._process.terminate()

    def stop(self, deadline: float) -> None:
        """Wait for the end of the terminated process; kill it at the deadline."""
        if self._process is not None:
            self._process.join(max(0.0, deadline - time.monotonic()))
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._drop()
        self._queue.close()
        self._far_end.close()
