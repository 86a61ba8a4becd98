"""Interruption of a worker process: signal handlers, and shutdown when the run is stopped.

Guarantees: a worker that waits for language models finishes the calls in flight and keeps their replies; any other
worker exits at once, because its finished work is journalled and its unfinished work costs nothing but time.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from pipeline.errors import RampforgeError


class StopRequested(BaseException):
    """Raised inside the work of a process that calls language models."""


class StoppedError(RampforgeError):
    """The work was stopped on request; resuming the run continues it."""


class Interruption:
    """State of the SIGTERM handler; one per process, since there is one handler."""

    def __init__(self) -> None:
        self.stopping = False
        self._working = self._asking = False

    def install_handlers(self) -> None:
        """Handle SIGTERM and ignore SIGINT: a terminal sends Ctrl-C to the workers too, and the parent decides."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        if self.stopping:
            return
        self.stopping = True
        if self._asking:
            raise StopRequested
        if self._working:
            os._exit(1)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Mark work that may be abandoned at any moment. Raises StoppedError when the process was asked to stop."""
        if self.stopping:
            raise StoppedError("the run is being stopped")
        self._working = True
        try:
            yield
        except StopRequested:
            raise StoppedError("the run was stopped") from None
        finally:
            self._working = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Mark work that must be asked to stop."""
        self._asking = True
        try:
            yield
        finally:
            self._asking = False


@contextmanager
def defer_interrupts() -> Iterator[None]:
    """Defer SIGINT and SIGTERM of this process to the end of the block: a worker whose start is broken off prints a
    traceback. Processes started inside block SIGINT from their first instruction until `install_handlers`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _defer_handlers() if threading.current_thread() is threading.main_thread() else nullcontext():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _defer_handlers() -> Iterator[None]:
    """A signal that any thread receives is handled in the main thread, whatever that one blocks."""
    caught: list[tuple[int, FrameType | None]] = []
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers = {int(number): handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda *signalled: caught.append(signalled))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in caught[:1]:
            handlers[number](number, frame)


INTERRUPTION = Interruption()
"""The interruption state of this process."""
