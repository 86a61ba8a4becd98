"""Runs the command line as a user does: another process, its exit code, what it printed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

RAMPFORGE = [sys.executable, "-m", "rampforge"]
TIMEOUT = 240.0
_SERVERS: dict[str, Mapping[str, str]] = {}
"""The sockets of running command servers, with the environment that each was started in."""


def start(environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """A process of its own, for tests that stop or kill it."""
    return subprocess.Popen(
        [*RAMPFORGE, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def rampforge(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run a command to its end. In the environment of a command server it is forked from there."""
    for path, served in _SERVERS.items():
        if served == environment:
            return _ask(path, environment, words)
    process = start(environment, *words)
    output, _ = process.communicate(timeout=TIMEOUT)
    return process.returncode, output


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


def _ask(path: str, environment: Mapping[str, str], words: tuple[str, ...]) -> tuple[int, str]:
    reader, writer = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection, open(reader, "rb") as printed:
        connection.settimeout(TIMEOUT)
        connection.connect(path)
        request = {"words": words, "folder": os.getcwd(), "environment": dict(environment)}
        socket.send_fds(connection, [json.dumps(request).encode()], [writer])
        os.close(writer)
        output: list[bytes] = []
        reading = threading.Thread(target=lambda: output.append(printed.read()), daemon=True)
        reading.start()
        code = int(connection.recv(64))
        reading.join(TIMEOUT)
    return code, b"".join(output).decode()
