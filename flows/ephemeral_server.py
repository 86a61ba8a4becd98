"""Ties Prefect's ephemeral API server to the life of this process.

Prefect starts it as a child and stops it at exit, but `kill -9` gives it no chance to: each killed run would leave a
server behind. A guard, another small child, notices that we are gone and stops it.
"""

from __future__ import annotations

import subprocess
import sys

import psutil

SERVER_WORDS = "prefect.server.api.server"
GUARD = """
import sys, psutil
pid, born = int(sys.argv[1]), float(sys.argv[2])
sys.stdin.buffer.read()  # ends when the last process that holds the other end is gone
try:
    server = psutil.Process(pid)
    if server.create_time() == born:
        server.terminate()
except psutil.NoSuchProcess:
    pass
"""


def guard_server() -> None:
    """Start a guard for each ephemeral server that is a child of this process; none is a child when a server was named
    by `PREFECT_API_URL`."""
    for child in psutil.Process().children():
        try:
            if SERVER_WORDS not in " ".join(child.cmdline()):
                continue
            words = [sys.executable, "-c", GUARD, str(child.pid), repr(child.create_time())]
        except psutil.NoSuchProcess:
            continue
        subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own words
