"""A real HTTP server on a loopback port that answers by a script: statuses, hangs, resets, half replies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. `how`: `hang`, `reset` or `half` instead of a whole one."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""


Script = Callable[[web.Request, bytes, int], Said]
"""The request, its body, and how many came before it."""


class ScriptedHttp:
    """A context manager."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[bytes] = []
        self.moments: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        number = len(self.asked)
        self.asked.append(body)
        self.moments.append(self._loop.time())
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            said = self.script(request, body, number)
            if said.how == "hang":
                await asyncio.sleep(3600)
            if said.how == "wait":
                await asyncio.sleep(0.05)
            if said.how in ("reset", "half"):
                return await self._break_off(request, said)
            return web.Response(status=said.status, body=said.body, headers=said.headers)
        finally:
            self.in_flight -= 1

    async def _break_off(self, request: web.Request, said: Said) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": str(len(said.body))})
        if said.how == "half":
            await response.prepare(request)
            await response.write(said.body[: len(said.body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response
