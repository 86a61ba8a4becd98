"""A load for retrieval servers: connections in one process, as cheap as Python can make them, and what came of it.

Run as `python -m tests.bench.search_load`, settings as JSON on standard input; prints the figures as JSON.

Where a rate is given, the clients' requests are due in turn, each at a moment of its own, whatever became of those
before it. The loader wakes twice a millisecond, sends what is due, and reads what has come; when a reply came, the
kernel has noted. So it takes little of the processors it shares with the server, and no reply is late for want of a
reader. A latency runs from the moment the loader finds the request due, so a server that keeps a client waiting is
charged for its next request too; how late the loader finds them is a figure of its own.

A request whose connection is reset is sent again on a new one, once: what HTTP allows a client for a request that may
be repeated. One that fails a second time, or is answered with anything but 200, counts as lost.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, cycle, repeat, takewhile
from typing import Any

from tests.bench.load_figures import TokenUsage, summarise

TRIES = 2
TICK = 0.0005
PIECE = 1 << 16
SO_TIMESTAMPNS = 35
"""Linux: each read tells when the last of its bytes came in. Python's socket module does not name it."""
STAMP = struct.Struct("qq")
NOTES = socket.CMSG_SPACE(STAMP.size)


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a server."""

    port: int
    queries: list[str]
    seconds: float
    clients: int = 64
    per_second: float | None = None
    """Requests due in a second; None: each client asks again as soon as it is answered."""
    at_random: bool = False
    """Whether they are due at random moments (a Poisson process), or evenly."""
    topk: int = 3


class Client:
    """A connection that carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._received = b""
        self.socket: socket.socket | None = None
        self.request = b""
        self.began = 0.0
        self.tries = 0
        self.answered = 0.0
        """When the last bytes came."""
        self.due: deque[float] = deque()
        """Since when its next requests have been due."""

    def open(self) -> socket.socket:
        """Connect. Raises OSError."""
        self.socket = socket.create_connection(("127.0.0.1", self._port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return self.socket

    def close(self) -> None:
        """Forget the connection; the next request opens another."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self._received = None, b""

    def receive(self) -> int | None:
        """The status, when the reply is here whole. Raises OSError."""
        data, notes, _, _ = self.socket.recvmsg(PIECE, NOTES) if self.socket else (b"", [], 0, None)
        if not data:
            raise ConnectionResetError
        self.answered = time.time()  # what counts where the kernel has no note: it begins to take them with a delay
        for _, _, stamp in notes:
            seconds, nanoseconds = STAMP.unpack(stamp)
            self.answered = seconds + nanoseconds / 1e9
        self._received += data
        head, mark, body = self._received.partition(b"\r\n\r\n")
        if not mark or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return None
        self._received = b""
        return int(head[9:12])


class Loader:
    """Puts a load on a server."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = write_requests(load)
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._ready: deque[Client] = deque()
        """Clients with a request to send, and none under way."""
        self._open_requests = 0
        self._end = 0.0
        self.tally = TokenUsage()

    def run(self) -> TokenUsage:
        """All of it, to the last reply."""
        clients = [Client(self._load.port) for _ in range(self._load.clients)]
        for client in clients:
            self._open(client)
        begin = time.time()  # the clock of the kernel's notes
        self._end = begin + self._load.seconds
        turns = zip(plan_moments(self._load, begin), cycle(clients), strict=False)
        upcoming = next(turns, None)
        while upcoming is not None or self._open_requests:
            now = time.time()
            while upcoming is not None and upcoming[0] <= now:
                moment, client = upcoming
                self.tally.lateness.append(now - moment)
                self._ask(client, now)
                upcoming = next(turns, None)
            while self._ready:
                self._start(self._ready.popleft())
            self._hear()
        return self.tally

    def _ask(self, client: Client, now: float) -> None:
        """A request of a client is due."""
        self._open_requests += 1
        if not (client.due or client.request):
            self._ready.append(client)
        client.due.append(now)

    def _open(self, client: Client) -> None:
        number = client.open().fileno()
        self._poll.register(number, select.EPOLLIN)
        self._clients[number] = client

    def _close(self, client: Client) -> None:
        if client.socket is not None:
            del self._clients[client.socket.fileno()]
        client.close()

    def _start(self, client: Client) -> None:
        client.request, client.began, client.tries = next(self._requests), client.due.popleft(), 0
        self._send(client)

    def _send(self, client: Client) -> None:
        while client.tries < TRIES:
            self.tally.resent += client.tries
            client.tries += 1
            try:
                if client.socket is None:
                    self._open(client)
                assert client.socket is not None
                client.socket.sendall(client.request)
                return
            except OSError:
                self._close(client)
        self.tally.lost += 1
        self._release(client)

    def _hear(self) -> None:
        if self._load.per_second is not None:
            time.sleep(TICK)
        for number, _ in self._poll.poll(None if self._load.per_second is None else 0):
            client = self._clients[number]
            try:
                status = client.receive()
            except OSError:
                self._close(client)
                if client.request:
                    self._send(client)
                continue
            if status == 200:
                self.tally.latencies.append(client.answered - client.began)
            if status is not None:
                self.tally.lost += status != 200
                self._release(client)

    def _release(self, client: Client) -> None:
        self._open_requests -= 1
        client.request = b""
        if client.due:
            self._ready.append(client)
        elif self._load.per_second is None and (now := time.time()) < self._end:
            self._ask(client, now)


def plan_moments(load: Load, begin: float) -> Iterator[float]:
    """When requests are due; where clients ask as soon as they are answered, the first of each."""
    rate, end = load.per_second, begin + load.seconds
    if rate is None:
        return repeat(begin, load.clients)
    moments = draw_moments(rate, begin) if load.at_random else (begin + number / rate for number in count())
    return takewhile(lambda moment: moment < end, moments)


def draw_moments(rate: float, moment: float) -> Iterator[float]:
    """Random moments after this one; the same gaps every time."""
    dice = random.Random(0)
    while True:
        moment += dice.expovariate(rate)
        yield moment


def write_requests(load: Load) -> Iterator[bytes]:
    """Requests without end, ready to be sent."""
    head = f"POST /retrieve HTTP/1.1\r\nhost: localhost:{load.port}\r\ncontent-type: application/json\r\n"
    asked = [{"queries": [query], "topk": load.topk, "return_scores": True} for query in load.queries]
    bodies = [json.dumps(question).encode() for question in asked]
    return cycle([f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies])


def start_load(load: Load) -> subprocess.Popen[str]:
    """Put a load on from a process of its own; `finish_load` gives what came of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(load)))
    process.stdin.close()
    process.stdin = None
    return process


def finish_load(process: subprocess.Popen[str]) -> dict[str, float]:
    """The figures, when the load has ended."""
    said, _ = process.communicate()
    figures: dict[str, float] = json.loads(said)
    return figures


def main() -> None:
    """Read the settings, put on the load, print the figures."""
    settings: dict[str, Any] = json.load(sys.stdin)
    started, cpu = time.perf_counter(), time.process_time()
    load = Load(**settings)
    if os.sched_getscheduler(0) == os.SCHED_RR:  # before the server too: it stands for clients on machines of their own
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
    tally = Loader(load).run()
    figures = summarise(tally, time.perf_counter() - started)
    figures["loader_cpu_ms"] = 1000 * (time.process_time() - cpu) / figures["answered"]
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
