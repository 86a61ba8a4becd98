"""A small real HTTP server that speaks the chat protocol and misbehaves on cue. It runs in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

Cue = Callable[[dict[str, Any], int], str]
"""Body of a request and the count of requests with this prompt so far (from 1) -> name of what happens."""

ERRORS = {
    "500": (500, {}, "internal error"),
    "429": (429, {"retry-after": "1"}, "rate limit reached"),
    "429 soon": (429, {"retry-after": "0.05"}, "rate limit reached"),
    "401": (401, {}, "Incorrect API key provided: sk-secret-0123456789"),
    "404": (404, {}, "The model `x` does not exist."),
    "overflow": (400, {}, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."),
    "filter": (400, {}, "The response was filtered: content_filter"),
    "no schema": (400, {}, "response_format is not supported"),
    "unpaid": (429, {}, "You exceeded your current quota: insufficient_quota"),
    "wrong": (400, {}, "unknown parameter"),
}


class FaultServer:
    """Counts what it was asked and what it answered."""

    def __init__(self, cue: Cue = lambda body, count: "ok", latency: float = 0.0) -> None:
        self.cue = cue
        self.latency = latency
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self.answer: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: {"content": f"echo {prompt_of(body)}"}
        self.metrics: str | None = None
        self.metrics_latency = 0.0
        self.listing = 404
        """Status of the list of models."""
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
                content = await reader.readexactly(int(fields.get(b"content-length", 0)))
                if head.startswith(b"GET"):
                    await asyncio.sleep(self.metrics_latency)
                    found = self.metrics is not None and b"/metrics" in head.split(b"\r\n")[0]
                    await send(writer, 200 if found else self.listing, {}, (self.metrics or "").encode())
                else:
                    await self._chat(json.loads(content), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _chat(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if body.get("max_tokens") == 1:  # a run asks for one token of each role before it begins
            await self._answer_probe(body, writer)
            return
        prompt = prompt_of(body)
        self.asked[prompt] += 1
        self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            cue = self.cue(body, self.asked[prompt])
            if not cue.startswith("429"):
                await asyncio.sleep(self.latency)
        finally:
            self.in_flight -= 1
        if cue == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            raise ConnectionResetError
        if cue == "hang":
            await asyncio.sleep(3600)
        if cue in ERRORS:
            status, headers, message = ERRORS[cue]
            await send(writer, status, headers, json.dumps({"error": {"message": message}}).encode())
            return
        whole = self._complete(body)
        if cue == "ok":
            self.answered[prompt] += 1
        await send(writer, 200, {}, whole[: len(whole) // 2] if cue == "malformed" else whole)

    async def _answer_probe(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """Answer apart from what is counted; of the faults only answers of the server."""
        self.probes.append(body)
        status, headers, message = ERRORS.get(self.cue(body, len(self.probes)), (200, {}, ""))
        ok = self._complete(body, {"content": "OK", "finish_reason": "length"})
        said = json.dumps({"error": {"message": message}}).encode() if message else ok
        await send(writer, status, headers, said)

    def _complete(self, body: dict[str, Any], answer: dict[str, Any] | None = None) -> bytes:
        message = {"role": "assistant"} | (answer or self.answer(body))
        finish = message.pop("finish_reason", "stop")
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return json.dumps({"model": body["model"], "choices": [choice], "usage": usage}).encode()


def prompt_of(body: dict[str, Any]) -> str:
    """The last message: tests make each prompt its own."""
    return str(body["messages"][-1]["content"])


async def send(writer: asyncio.StreamWriter, status: int, headers: dict[str, str], content: bytes) -> None:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    await writer.drain()
