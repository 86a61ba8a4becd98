"""Server of command lines: a process that has imported rampforge and Prefect, and forks for every command.

A command behaves as in a fresh process - its own arguments, folder, output, signals, exit code, worker processes - and
skips the seconds that imports take. `python -m tests.support.command_server SOCKET` serves until its input closes.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.support.worker_forks import fork_workers

ROOM = 1 << 20
"""Bytes of one request."""
MODULES = (
    "flows.execution.run",
    "flows.cli.app",
    "pandas",  # by what reads Parquet
    "graphviz",  # by a flow of Prefect
    "pipeline.agents.extractive.solver",
    "pipeline.corpus.document_stage",
    "pipeline.masking.span_stage",
    "pipeline.masking.task_stage",
    "pipeline.masking.entities",
    "pipeline.masking.rules_en",
    "pipeline.masking.rules_zh",
    "pipeline.passages.stages",
    "pipeline.report.page",
    "pipeline.search.bm25",
    "pipeline.search.index.memory",
    "pipeline.storage.verification",
    "flows.cli.run_summary",
    "flows.stages.solvers",
    "pipeline.masking.redirect_aliases",
    "pipeline.masking.sampling",
    "pyarrow.dataset",
    "fastapi",
    "transformers.models.auto.tokenization_auto",  # by runs of a policy
)
"""Modules that a run imports, its workers included, as far as others of these do not import them."""


def serve(path: str) -> None:
    """Fork for every connection; returns in the children, ready to run their command, and never in the server."""
    import_all()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        assert threading.active_count() == 1, "a fork would lose the threads"
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:  # waits for the command and reports its end, while the server accepts the next one
                listener.close()
                if run_one(connection):
                    return
            connection.close()
            reap()
    sys.exit()


def run_one(connection: socket.socket) -> bool:
    """Fork again for the command itself: True in its process; the other one reports its id and exit code and ends."""
    content, files, _, _ = socket.recv_fds(connection, ROOM, 1)
    child = os.fork()
    if child == 0:
        connection.close()
        become(json.loads(content), files[0])
        return True
    os.close(files[0])
    with suppress(OSError):  # a test that has failed waits no longer
        connection.send(str(child).encode())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.send(str(code).encode())
    os._exit(0)


def become(request: Mapping[str, Any], output: int) -> None:
    """Take on what a fresh process would have been started with."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    if request["session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests were started with it ignored
    sys.argv = ["rampforge", *request["words"]]
    fork_workers()


def reap() -> None:
    """Collect the reporters that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def import_all() -> None:
    """Import what `rampforge run` and its workers import, now or in the course of their work."""
    from flows.prefect_api.settings import settle_prefect

    settle_prefect(debug=False)
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    serve(sys.argv[1])
    from flows.cli.app import main

    main()
