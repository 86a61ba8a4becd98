"""Workers of a forked command: forks of a process that has imported everything, where `multiprocessing` would start an
interpreter. They get what a fresh interpreter gets - arguments, environment, folder, ignored signals, files - and their
work comes pickled through the same pipe.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import spawn, util
from typing import Any

ROOM = 1 << 20
"""Bytes of one request."""
FILES = 200
"""Open files of one request."""
HIGH = 600
"""Received files get numbers from here, so that none has the number that another one is to get."""
PR_SET_CHILD_SUBREAPER = 36
SIGNALS: dict[signal.Signals, Callable[..., Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""What may be ignored where a worker is started, and what an interpreter does otherwise."""

_start_interpreter = util.spawnv_passfds


def fork_workers() -> None:
    """From here on, workers of this process are forked. To be called while it has one thread.

    The process that forks them stays as small as this one is now. Its grandchildren become children of this process,
    which can wait for them.
    """
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    forker = os.fork()
    if forker == 0:
        ours.close()
        serve(theirs)
    theirs.close()

    def end() -> None:
        ours.close()
        os.waitpid(forker, 0)

    def start(path: bytes, words: Sequence[Any], files: Sequence[int]) -> int:
        texts = [os.fsdecode(word) for word in words]
        if texts[-1] != "--multiprocessing-fork":
            return int(_start_interpreter(path, words, files))
        return ask(ours, texts[-2], sorted({int(file) for file in files}))

    atexit.register(end)
    util.spawnv_passfds = start  # type: ignore[assignment]


def ask(ours: socket.socket, code: str, files: list[int]) -> int:
    """Process id of a new worker that is told by `code` which of the files it reads."""
    request = {
        "code": code,
        "files": files,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "ignored": [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }
    socket.send_fds(ours, [json.dumps(request).encode()], files)
    return int(ours.recv(64))


def serve(theirs: socket.socket) -> None:
    """Fork a worker for every request until the command has ended. Workers end in here, too."""
    for number in SIGNALS:  # sent to the whole group, they are the command's
        signal.signal(number, signal.SIG_IGN)
    while True:
        content, files, _, _ = socket.recv_fds(theirs, ROOM, FILES)
        if not content:
            os._exit(0)
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            worker = os.fork()
            if worker:
                os.write(writer, str(worker).encode())
                os._exit(0)
            theirs.close()
            work(json.loads(content), files)
        os.close(writer)
        os.waitpid(between, 0)
        theirs.send(os.read(reader, 64))
        for file in (reader, *files):
            os.close(file)


def work(request: dict[str, Any], received: Iterable[int]) -> None:
    """Become what an interpreter would be that was started with the request; ends the process."""
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in received]
    os.closerange(3, HIGH)
    for file, number in zip(moved, request["files"], strict=True):
        os.dup2(file, number)
        os.close(file)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    for number, usual in SIGNALS.items():
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else usual)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["-c", "--multiprocessing-fork"]
    spawn.spawn_main(**{name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", request["code"])})
