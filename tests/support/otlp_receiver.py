"""A small real receiver of traces: OTLP over HTTP, in a thread of its own, keeping what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import threading
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class OtlpReceiver:
    """Takes spans; `status` is what it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.raw = b""
        self.requests = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def named(self, start: str) -> list[Any]:
        """The spans whose name starts so."""
        return [span for span in self.spans if span.name.startswith(start)]

    async def _take(self, request: web.Request) -> web.Response:
        self.requests += 1
        body = await request.read()
        if self.status == 200:
            self.raw += gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            message = ExportTraceServiceRequest.FromString(body)
            for part in message.resource_spans:
                self.resources.append(read_attributes(part.resource.attributes))
                self.spans += [span for scope in part.scope_spans for span in scope.spans]
        return web.Response(status=self.status)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/v1/traces", self._take)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def read_attributes(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values."""
    return {attribute.key: read_value(attribute.value) for attribute in attributes}


def read_value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [read_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
