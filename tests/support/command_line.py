"""Runs the command line as a user does: another process, its exit code, what it printed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

RAMPFORGE = [sys.executable, "-m", "rampforge"]
TIMEOUT = 240.0
_SERVERS: dict[str, Mapping[str, str]] = {}
"""The sockets of running command servers, with the environment that each was started in."""
READ_LATE = ("AWS_", "COLUMNS", "OTEL_", "RAMPFORGE_", "TEST_")
"""Beginnings of the variables that no import reads: a command may be forked from a server that has others."""


class Command(Protocol):
    """A command at work: what tests use of `subprocess.Popen`."""

    pid: int
    returncode: int | Any

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, at its end."""

    def communicate(self, *, timeout: float | None = None) -> tuple[str, Any]:
        """What it printed, at its end."""

    def send_signal(self, sig: int, /) -> None:
        """Send it alone a signal."""

    def terminate(self) -> None:
        """Send it alone SIGTERM."""

    def kill(self) -> None:
        """Send it alone SIGKILL."""


class ForkedCommand:
    """A command forked by a command server, which reports its process id, then its exit code."""

    def __init__(self, connection: socket.socket, printed: IO[bytes]) -> None:
        self._connection = connection
        self._printed = printed
        self._output = b""
        self.pid = int(connection.recv(64))
        self.returncode: int | None = None
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, at its end. Raises TimeoutExpired after so many seconds."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._connection.recv(64))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("rampforge", timeout or 0) from None
            self._connection.close()
        return self.returncode

    def communicate(self, *, timeout: float | None = None) -> tuple[str, None]:
        """What it printed, at its end. Raises TimeoutExpired after so many seconds."""
        self.wait(timeout)
        self._reading.join(timeout)
        return self._output.decode(), None

    def send_signal(self, sig: int, /) -> None:
        """Send it alone a signal."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def terminate(self) -> None:
        """Send it alone SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it alone SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read(self) -> None:
        with self._printed:
            self._output = self._printed.read()


def start(environment: Mapping[str, str], *words: str, session: bool = False) -> Command:
    """A process of its own, for tests that stop or kill it; with `session` it leads a group of its own.

    In the environment of a command server it is forked from there.
    """
    for path, served in _SERVERS.items():
        if _read_by_imports(served) == _read_by_imports(environment):
            return _ask(path, environment, words, session)
    return subprocess.Popen(
        [*RAMPFORGE, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=session,
    )


def rampforge(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run a command to its end."""
    process = start(environment, *words)
    output, _ = process.communicate(timeout=TIMEOUT)
    return process.returncode, output


def _read_by_imports(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATE)}


@contextmanager
def serve_commands(environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Inside the block, commands in this environment come from one process that has imported everything."""
    path = str(folder / "commands")
    command = [sys.executable, "-m", "tests.support.command_server", path]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        _SERVERS[path] = environment
        yield
        del _SERVERS[path]


def _ask(path: str, environment: Mapping[str, str], words: tuple[str, ...], session: bool) -> ForkedCommand:
    reader, writer = os.pipe()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(TIMEOUT)
    connection.connect(path)
    request = {"words": words, "folder": os.getcwd(), "environment": dict(environment), "session": session}
    socket.send_fds(connection, [json.dumps(request).encode()], [writer])
    os.close(writer)
    return ForkedCommand(connection, open(reader, "rb"))
