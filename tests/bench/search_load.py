"""A load for retrieval servers: connections in one process, as cheap as Python can make them, and what came of it.

Run as `python -m tests.bench.search_load`, settings as JSON on standard input; prints the figures as JSON. A request
whose connection is reset is sent again on a new one, once: what HTTP allows a client for a request that may be
repeated. One that fails a second time, or is answered with anything but 200, counts as lost.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle
from typing import Any, cast

import uvloop

TRIES = 2


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a server."""

    port: int
    queries: list[str]
    seconds: float
    clients: int = 64
    per_second: float | None = None
    """Requests started in a second, at random moments; None: each client asks again as soon as it is answered."""
    per_request: int = 1
    """Queries in a request."""
    topk: int = 3


@dataclass(slots=True)
class Tally:
    """What came of it."""

    latencies: list[float] = field(default_factory=list)
    lost: int = 0
    resent: int = 0


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[int] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one without saying so

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(error or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, mark, body = self._received.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) >= length and self._reply is not None:
            self._received = b""
            self._reply.set_result(int(head[9:12]))

    async def ask(self, request: bytes) -> int:
        """The status of the reply. Raises ConnectionError."""
        if self.transport is None:
            raise ConnectionResetError
        self._reply = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._reply


def write_requests(load: Load) -> Iterator[bytes]:
    """Requests without end, ready to be sent."""
    size = load.per_request
    groups = [load.queries[i : i + size] for i in range(0, len(load.queries) - size + 1, size)]
    head = f"POST /retrieve HTTP/1.1\r\nhost: localhost:{load.port}\r\ncontent-type: application/json\r\n"
    bodies = (json.dumps({"queries": group, "topk": load.topk, "return_scores": True}).encode() for group in groups)
    return cycle([f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies])


async def drive(load: Load) -> Tally:
    """Put the load on the server."""
    loop, now = asyncio.get_running_loop(), time.perf_counter  # the loop's own clock ticks in milliseconds
    tally, requests = Tally(), write_requests(load)
    begin = now()
    due: asyncio.Queue[float] = asyncio.Queue()

    async def open_connection() -> Connection:
        return (await loop.create_connection(Connection, "127.0.0.1", load.port))[1]

    async def send(connection: Connection, request: bytes) -> Connection:
        for tried in range(TRIES):
            try:
                if connection.transport is None:
                    connection = await open_connection()
                tally.lost += await connection.ask(request) != 200
                return connection
            except OSError:
                tally.resent += tried + 1 < TRIES
        tally.lost += 1
        return connection

    async def work() -> None:
        connection = await open_connection()
        while (started := await next_start()) < begin + load.seconds:
            connection = await send(connection, next(requests))
            tally.latencies.append(now() - started)
        if connection.transport is not None:
            connection.transport.close()

    async def next_start() -> float:
        return now() if load.per_second is None else await due.get()

    async def plan(rate: float) -> None:
        dice, moment = random.Random(0), begin
        while moment < begin + load.seconds:
            moment += dice.expovariate(rate)
            await asyncio.sleep(moment - now())
            due.put_nowait(now())
        for _ in range(load.clients):
            due.put_nowait(moment)

    planning = asyncio.create_task(plan(load.per_second)) if load.per_second else None
    await asyncio.gather(*(work() for _ in range(load.clients)))
    if planning is not None:
        await planning
    return tally


def summarise(tally: Tally, seconds: float) -> dict[str, float]:
    """The figures of a load."""
    ordered = sorted(tally.latencies)
    answered = len(ordered)
    return {
        "answered": answered,
        "per_second": answered / seconds,
        "median_ms": 1000 * ordered[answered // 2],
        "p99_ms": 1000 * ordered[int(0.99 * answered)],
        "longest_ms": 1000 * ordered[-1],
        "lost": tally.lost,
        "resent": tally.resent,
    }


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
    load = Load(**settings)
    started = time.perf_counter()
    tally = uvloop.run(drive(load))
    sys.stdout.write(json.dumps(summarise(tally, time.perf_counter() - started)) + "\n")


if __name__ == "__main__":
    main()
