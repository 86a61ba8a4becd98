"""Child process in a session of its own that does not outlive its parent.

Ctrl-C in the terminal does not reach it: the parent ends it. When the parent is killed, a guard, a small third process,
ends the child with all its descendants.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Self

import httpx

GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")
"""Delays the child until its guard runs. When the parent is killed before, the pipe closes, and the child ends."""

GUARD = """
import os, signal, sys, time

pid = int(sys.argv[1])

def send(kill, number):
    try:
        kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True

if sys.stdin.buffer.read():  # ends when the process at the other end is gone, unless that says first that all is well
    sys.exit()
send(os.kill, signal.SIGTERM)
deadline = time.monotonic() + float(sys.argv[2])
while send(os.killpg, 0) and time.monotonic() < deadline:
    time.sleep(0.05)
send(os.killpg, signal.SIGKILL)
"""
STOP_SECONDS = 10.0
"""Time between SIGTERM and SIGKILL for a child."""
GRACE_SECONDS = 2.0
"""Time for its descendants after it: they free shared memory, which would outlive them."""
POLL_SECONDS = 0.05
HEALTH_SECONDS = 10.0


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """The path of a program. Raises FileNotFoundError."""
    found = shutil.which(name, path=environment.get("PATH", os.defpath))
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return found


class BoundProcess:
    """A running child. Use as a context manager, or call `stop`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes] | None = None) -> None:
        """Start `command`. `log`: file for its output, by default that of the parent. Raises OSError."""
        self._child = subprocess.Popen(  # noqa: S603 - the shell reads none of the words; they are the caller's own
            [*GATE, find_program(command[0], environment), *command[1:]],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT if log else None,
            start_new_session=True,
        )
        guard = [sys.executable, "-I", "-c", GUARD, str(self._child.pid), str(GRACE_SECONDS)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own words
        self.pid = self._child.pid
        if self._child.stdin:
            with suppress(BrokenPipeError), self._child.stdin as gate:
                gate.write(b"go\n")

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._child.poll()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end; None when it still runs after `seconds`."""
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def wait_until_healthy(self, url: str, seconds: float, stop: threading.Event | None = None) -> bool:
        """Wait until a GET of the URL returns 200; False when it ended, the time is over, or `stop` is set."""
        deadline, stop = time.monotonic() + seconds, stop or threading.Event()
        with httpx.Client(trust_env=False, timeout=HEALTH_SECONDS) as client:
            while self.poll() is None and time.monotonic() < deadline and not stop.wait(POLL_SECONDS):
                with suppress(httpx.TransportError):
                    if client.get(url).status_code == httpx.codes.OK:
                        return True
        return False

    def stop(self) -> None:
        """End it and all its descendants: SIGTERM, then SIGKILL. Idempotent."""
        if self.poll() is None:
            self._child.terminate()
            self.wait(STOP_SECONDS)
        else:
            self._signal_group(signal.SIGTERM)
        deadline = time.monotonic() + (GRACE_SECONDS if self.poll() is not None else 0)
        while self._signal_group(0) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._signal_group(signal.SIGKILL)
        self._child.wait()
        if self._guard.poll() is None:
            self._guard.communicate(b"all is well")

    def _signal_group(self, number: int) -> bool:
        """Signal it and its descendants; False when all have ended."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
