"""Keeps the workers of a search server alive.

Each worker has a socket of its own at the same address, among which the kernel spreads connections; workers even out
what chance leaves uneven (`reception`). The sockets belong to this process: connections that come while a worker is
being started again wait for it, and only those it held when it died are reset, which clients answer by asking again (a
search changes nothing, so it may always be repeated).
Elsewhere than on Linux, where the kernel does not spread them, all workers share one socket.
"""

from __future__ import annotations

import logging
import multiprocessing
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from pipeline.errors import RampforgeError
from pipeline.search_server.metrics import Counters, share_memory
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.socket_queue import Inbox
from pipeline.search_server.worker import READY, Doors, run_worker

log = logging.getLogger(__name__)

BACKLOG = 2048
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0
HOPELESS = 3
"""Deaths of one worker in a row, each before it was ready, after which nothing will help."""
STOP_SECONDS = 15.0
POLL_SECONDS = 0.25


class SearchServerError(RampforgeError):
    """A search server cannot be started, or its workers die again and again."""


class Workstation:
    """A worker's place: its doors, its row of counts, and the process that works there now."""

    def __init__(self, settings: ServerSettings, doors: Doors, counters: Counters) -> None:
        self.doors = doors
        self.ready = False
        self._settings = settings
        self._counters = counters
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._failures = 0
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start a process here."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (self._settings, self.doors, self._counters, theirs)
        self._process = context.Process(target=run_worker, args=arguments, name="search worker", daemon=True)
        self._process.start()
        theirs.close()

    def handles(self) -> list[Connection | int]:
        """What to wait for: a word of the process, or its end."""
        return [self._pipe, self._process.sentinel] if self._pipe and self._process else []

    def look(self, now: float) -> None:
        """Hear what the process says; start another when it is dead. Raises SearchServerError when it cannot start."""
        if self._process is None:
            if now >= self._due:
                self.start()
            return
        with suppress(EOFError, OSError):
            while self._pipe and self._pipe.poll():
                said = self._pipe.recv()
                if said != READY:
                    raise SearchServerError(*said)
                self.ready, self._failures = True, 0
        if not self._process.is_alive():
            self._bury(now)

    def _bury(self, now: float) -> None:
        code = self._process.exitcode if self._process else None
        self._failures = 0 if self.ready else self._failures + 1
        if self._failures == HOPELESS:
            raise SearchServerError(
                f"a worker died {HOPELESS} times before it was ready (exit code {code})", "see above"
            )
        log.warning("a search worker died (exit code %s) and is started again", code)
        self._counters.put("up", 0.0)
        self._counters.add("restarts")
        self._due = now + min(LONGEST_DELAY, FIRST_DELAY * 2**self._failures)
        self._drop()

    def _drop(self) -> None:
        self.ready = False
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def stop(self, deadline: float) -> None:
        """End the process: it has been asked to; kill it when it does not hear."""
        if self._process is not None:
            self._process.join(max(0.0, deadline - time.monotonic()))
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
        self._drop()
        self.doors.listener.close()

    def ask_to_stop(self) -> None:
        """Tell the process to finish what is under way and end."""
        if self._process is not None:
            self._process.terminate()


class SearchServer:
    """The workers of one server; a context manager. Raises SearchServerError where the address cannot be had."""

    def __init__(self, settings: ServerSettings) -> None:
        listeners = open_listeners(settings.host, settings.port, settings.workers)
        self.port: int = listeners[0].getsockname()[1]
        memory = share_memory(multiprocessing.get_context("spawn"), settings.workers)
        self._inboxes = [Inbox() for _ in listeners]
        self.places = [
            Workstation(settings, Doors(listener, self._inboxes), Counters(memory, row))
            for row, listener in enumerate(listeners)
        ]
        self._stopping = threading.Event()

    def __enter__(self) -> SearchServer:
        for place in self.places:
            place.start()
        return self

    def __exit__(self, *_: object) -> None:
        for place in self.places:
            place.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for place in self.places:
            place.stop(deadline)
        for inbox in self._inboxes:
            inbox.close()

    @property
    def ready(self) -> bool:
        """Whether every worker answers."""
        return all(place.ready for place in self.places)

    def watch(self, until_ready: bool = False) -> None:
        """Keep the workers alive until `stop` is called, or all are ready. Raises SearchServerError."""
        while not (self._stopping.is_set() or (until_ready and self.ready)):
            wait([handle for place in self.places for handle in place.handles()], POLL_SECONDS)
            for place in self.places:
                place.look(time.monotonic())

    def stop(self) -> None:
        """End `watch`, from a signal handler or another thread."""
        self._stopping.set()


def open_listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Listening sockets, one for each worker. Raises SearchServerError."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Without sharing: a server of someone else at this port must not be joined by mistake.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            address = probe.getsockname()
        spread = sys.platform == "linux" and count > 1
        first = _listen(family, address, spread)
        return [first, *(_listen(family, address, True) if spread else first.dup() for _ in range(count - 1))]
    except OSError as error:
        what = f"cannot listen at {host}:{port}: {error.strerror or error}"
        raise SearchServerError(what, "name another with --host and --port") from None


def _listen(family: int, address: tuple[str, int], shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
