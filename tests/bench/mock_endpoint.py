"""A chat server that answers from memory, on cue with faults, and counts: one process, as lean as the clients it times.

`python -m tests.bench.mock_endpoint PORT NAME=VALUE...` serves. Knobs: `latency` in seconds, `tokens` (1: completions
with tokens in and out, as `policy_load` has them), and the shares of requests met with each fault: `p500`, `p429` (at
once, Retry-After 1), `reset` (at half the latency), `malformed` (a body cut off) and `hang` (no answer at all). A
prompt that holds `call ITEM/STEP` is counted by that name. `/stats` tells the counts.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import orjson
import uvloop

from tests.bench.agentic_load import CALL, REPLY_WORDS, write_reply

FAULTS = ("p500", "p429", "reset", "malformed", "hang")


class ServerCounts:
    """Knobs and counts, shared by all connections."""

    def __init__(self, knobs: dict[str, float]) -> None:
        self.latency = knobs.get("latency", 0.5)
        self.complete: Callable[[bytes, str], dict[str, Any]] = complete
        if knobs.get("tokens"):
            from tests.bench import policy_load  # loads a tokenizer, which the other benchmarks do without

            policy_load.write_marker()  # before anyone waits
            self.complete = policy_load.complete
        self.shares = [(name, knobs[name]) for name in FAULTS if knobs.get(name)]
        self.dice = random.Random(1)
        self.statuses: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.disorders = 0
        self.in_flight = self.most_in_flight = self.connections = 0

    def draw_fault(self) -> str:
        """What goes wrong with the next request; empty for nothing."""
        dice = self.dice.random() if self.shares else 0.0
        for name, share in self.shares:
            if dice < share:
                return name
            dice -= share
        return ""

    def tell(self) -> dict[str, Any]:
        """The counts: `repeated` are calls answered more than once, `disorders` calls without the reply before them."""
        return {
            "asked": self.asked.total(),
            "answered": self.answered.total(),
            "repeated": self.answered.total() - len(self.answered),
            "disorders": self.disorders,
            "statuses": dict(self.statuses),
            "most_in_flight": self.most_in_flight,
            "connections": self.connections,
            "cpu": time.process_time(),
        }


class Connection(asyncio.Protocol):
    """One client's connection: one request at a time."""

    def __init__(self, counts: ServerCounts, loop: asyncio.AbstractEventLoop) -> None:
        self._counts = counts
        self._loop = loop
        self._read = b""
        self._pending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._counts.in_flight -= 1

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, blank, body = self._read.partition(b"\r\n\r\n")
        if not blank:
            return
        fields = head.lower()
        place = fields.find(b"content-length:")
        length = int(fields[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if len(body) < length:
            return
        self._read = b""
        if head.startswith(b"POST"):
            self._take(body)
        elif b"/models" in head.split(b"\r\n", 1)[0]:
            self._send(200, {"object": "list", "data": [{"id": "mock", "object": "model", "created": 1}]})
        else:
            self._send(200, self._counts.tell())

    def _take(self, body: bytes) -> None:
        counts = self._counts
        fault = counts.draw_fault()
        found = CALL.search(body)
        call = f"{int(found[1])}/{int(found[2])}" if found else ""
        counts.asked[call] += 1
        if found and found[2] != b"0" and b"reply %d/%d " % (int(found[1]), int(found[2]) - 1) not in body:
            counts.disorders += 1
        if fault == "p429":
            self._answer(body, call, fault)
            return
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        if fault == "hang":
            counts.statuses[fault] += 1
        delay = {"reset": counts.latency / 2, "hang": 3600.0}.get(fault, counts.latency)
        self._pending = self._loop.call_later(delay, self._answer, body, call, fault)

    def _answer(self, body: bytes, call: str, fault: str) -> None:
        counts = self._counts
        if self._pending is not None:
            self._pending = None
            counts.in_flight -= 1
        counts.statuses[fault or "200"] += 1
        if fault == "reset":
            self._transport.abort()
        elif fault in ("p500", "p429"):
            extra = b"retry-after: 1\r\n" if fault == "p429" else b""
            self._send(int(fault[1:]), {"error": {"message": "this fails on cue"}}, extra)
        elif fault == "malformed":
            self._send(200, b'{"choices": [{"message": {"role": "assist')
        else:
            counts.answered[call] += 1
            self._send(200, counts.complete(body, call))

    def _send(self, status: int, value: Any, extra: bytes = b"") -> None:
        content = value if isinstance(value, bytes) else orjson.dumps(value)
        head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, extra, len(content)) + content)


def complete(body: bytes, call: str) -> dict[str, Any]:
    """A chat completion; a word is a token."""
    message = {"role": "assistant", "content": write_reply(call)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    sent = body.count(b" ")
    usage = {"prompt_tokens": sent, "completion_tokens": REPLY_WORDS, "total_tokens": sent + REPLY_WORDS}
    return {
        "id": f"chatcmpl-{call}",
        "object": "chat.completion",
        "created": 1,
        "model": "mock",
        "choices": [choice],
        "usage": usage,
    }


@contextmanager
def serve_mock(**knobs: float) -> Iterator[str]:
    """Run the server with these knobs; its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"{name}={value}" for name, value in knobs.items()]
    command = [sys.executable, "-m", "tests.bench.mock_endpoint", str(port), *options]
    with subprocess.Popen(command) as server:
        url = f"http://127.0.0.1:{port}/v1"
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                read_stats(url)
                break
            time.sleep(0.1)
        try:
            yield url
        finally:
            server.terminate()


def read_stats(url: str) -> dict[str, Any]:
    """What the server has counted."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as reply:
        stats: dict[str, Any] = json.loads(reply.read())
    return stats


async def serve(port: int, knobs: dict[str, float]) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    counts = ServerCounts(knobs)
    server = await loop.create_server(lambda: Connection(counts, loop), "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(
        serve(int(sys.argv[1]), {name: float(value) for name, _, value in (w.partition("=") for w in sys.argv[2:])})
    )
