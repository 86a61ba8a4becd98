"""Export of the trace of calls over OTLP/HTTP, as set by `OTEL_EXPORTER_OTLP_ENDPOINT` and the related variables.

Guarantees: OpenTelemetry is not imported unless `llm.trace` is set; the spans of a shard are sent before the shard
counts as finished, also when the run is being stopped; an unavailable receiver costs spans, which is logged, never
calls, and delays the work by a few seconds a minute at most.
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
"""Timeout of sending one batch."""
PAUSE_SECONDS = 30.0
"""Seconds without an attempt after a receiver accepted nothing."""
QUEUE, BATCH, DELAY_MS = 1 << 15, 512, 1000


def check_tracing(trace: bool | str, environment: Mapping[str, str]) -> None:
    """Raise ConfigError when tracing is configured and impossible."""
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
    """The tracer of this process; None when calls are not traced."""
    trace = context.config.llm.trace
    if not trace:
        return None
    check_tracing(trace, os.environ)
    return _open_sender(context)[0]


@contextmanager
def trace_shard(context: RunContext, stage: str, shard: str) -> Iterator[None]:
    """Trace the work on a shard as one span, and send everything at its end; do nothing when calls are not traced."""
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
    """Send the spans that are still queued."""
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

    # OpenTelemetry logs an unavailable receiver with every batch; PatientExporter logs it once.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "rampforge"}
    resource = Resource.create({**named, "service.version": rampforge_version(), "rampforge.run": run})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = make_patient(OTLPSpanExporter(timeout=SEND_SECONDS))
    provider.add_span_processor(BatchSpanProcessor(exporter, QUEUE, DELAY_MS, BATCH))
    return CallTracing(provider.get_tracer("rampforge", rampforge_version()), content), provider


def make_patient(sender: SpanExporter) -> SpanExporter:
    """An exporter that pauses after the receiver accepted nothing, and logs it."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class PatientExporter(SpanExporter):
        """Exporter with a pause after a failure."""

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
            """Close the connection."""
            sender.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            """Flush the underlying exporter; this one has no queue."""
            return sender.force_flush(timeout_millis)

    return PatientExporter()
