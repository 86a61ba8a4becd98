"""Sends the trace of calls where the environment says, over OTLP/HTTP: `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin.

Promises: nothing of OpenTelemetry's is imported unless `llm.trace` is on; a shard's spans are sent before the shard
counts as finished, also when the run is being stopped; a receiver that is away costs spans, which is said, never calls,
and holds nobody up for more than a few seconds a minute.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.configuration.provenance import rampforge_version
from flows.configuration.run_context import RunContext
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from pipeline.llm.tracing import CallTracing

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
SEND_SECONDS = 5.0
"""How long one batch may take to send."""
PAUSE_SECONDS = 30.0
"""How long a receiver that took nothing is left alone."""
QUEUE, BATCH, DELAY_MS = 1 << 15, 512, 1000


def check_tracing(trace: bool | str, environment: Mapping[str, str]) -> None:
    """Raise ConfigError when calls are to be traced and cannot be."""
    if not trace:
        return
    if not all(_is_there(module) for module in NEEDED):
        raise ConfigError(
            "llm.trace needs OpenTelemetry's SDK and its OTLP exporter, which are not installed",
            "pip install 'rampforge[trace]'",
        )
    if not any(environment.get(name) for name in ENDPOINTS):
        raise ConfigError(
            f"llm.trace is on, but {ENDPOINTS[1]} does not say where to send the trace",
            f"export {ENDPOINTS[1]}=http://127.0.0.1:4318, or set llm.trace=false",
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is not there
        return False


def open_tracing(context: RunContext) -> CallTracing | None:
    """What makes the spans of this process; None when calls are not traced."""
    trace = context.config.llm.trace
    if not trace:
        return None
    check_tracing(trace, os.environ)
    return _open_sender(context)[0]


@contextmanager
def trace_shard(context: RunContext, stage: str, shard: str) -> Iterator[None]:
    """A span around the work on a shard; at its end everything is sent. Nothing when calls are not traced."""
    tracing = open_tracing(context)
    if tracing is None:
        yield
        return
    try:
        with tracing.place(f"{stage} shard", run=context.run.name, stage=stage, shard=shard):
            yield
    finally:
        send_trace(context)


def send_trace(context: RunContext) -> None:
    """Send what is still here."""
    if context.config.llm.trace:
        _open_sender(context)[1].force_flush()


def _open_sender(context: RunContext) -> tuple[CallTracing, Any]:
    """The sender of this process, kept as long as the process."""
    key = (context.run.name, context.config.llm.trace == "content")
    return context.resources.keep("tracer", key, lambda: _make_sender(*key))


def _make_sender(run: str, content: bool) -> tuple[CallTracing, Any]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from pipeline.llm.tracing import CallTracing

    # Its own words about a receiver that is away come with every batch; ours come once.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "rampforge"}
    resource = Resource.create({**named, "service.version": rampforge_version(), "rampforge.run": run})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = make_patient(OTLPSpanExporter(timeout=SEND_SECONDS))
    provider.add_span_processor(BatchSpanProcessor(exporter, QUEUE, DELAY_MS, BATCH))
    return CallTracing(provider.get_tracer("rampforge", rampforge_version()), content), provider


def make_patient(sender: SpanExporter) -> SpanExporter:
    """An exporter that leaves a receiver alone for a while after it took nothing, and says so."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class PatientExporter(SpanExporter):
        """Sends, or gives up quickly."""

        away_until = float("-inf")
        lost = 0

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            """Send a batch."""
            if time.monotonic() >= self.away_until:
                if sender.export(spans) is SpanExportResult.SUCCESS:
                    return SpanExportResult.SUCCESS
                self.away_until = time.monotonic() + PAUSE_SECONDS
                log.warning("the trace receiver takes nothing; it is left alone for %.0f s", PAUSE_SECONDS)
            self.lost += len(spans)
            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            """Give up the connection."""
            sender.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            """Nothing is held back here."""
            return sender.force_flush(timeout_millis)

    return PatientExporter()
