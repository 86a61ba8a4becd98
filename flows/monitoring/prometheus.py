"""Prometheus metrics of a run in progress: on a port of the coordinator, or in a file.

They are those of `live/<stage>.json`; an ended stage keeps its last values as long as the process lives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.errors import ConfigError
from schemas.funnel import FunnelStep
from schemas.live import CallsLive, StageLive
from schemas.watch_config import WatchConfig

log = logging.getLogger(__name__)

FILE_SECONDS = 10.0
STAGE, PREFIX = ("run", "stage"), "rampforge"

T = TypeVar("T")
Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
Gauge, Counter = GaugeMetricFamily, CounterMetricFamily
Row = tuple[Kind, str, str, Callable[[T], float | None]]
"""Metric: its type, name, description, and value."""
OF_STAGES: tuple[Row[StageLive], ...] = (
    (Counter, "rows", "Inputs completed, over all sessions.", lambda live: live.done),
    (Gauge, "rows_expected", "Number of inputs, if known.", lambda live: live.total),
    (Gauge, "rows_per_second", "Inputs completed per second, recently.", lambda live: live.rate),
    (Gauge, "passed_ratio", "Share of the inputs that passed.", lambda live: live.accepted_share),
    (Gauge, "shards_under_way", "Shards in progress.", lambda live: live.shards),
    (Gauge, "seconds_left", "Estimated time for the rest.", lambda live: live.seconds_left),
    (Gauge, "told_timestamp_seconds", "Time of the measurement, since 1970.", lambda live: live.at),
)
OF_CALLS: tuple[Row[CallsLive], ...] = (
    (Counter, "calls", "Replies of language models, in this session.", lambda calls: calls.answered),
    (Counter, "prompt_tokens", "Tokens sent, in this session.", lambda calls: calls.prompt_tokens),
    (Counter, "completion_tokens", "Tokens received, in this session.", lambda calls: calls.completion_tokens),
    (Counter, "stage_cost", "Cost of the stage, in this session.", lambda calls: calls.stage_cost),
    (Gauge, "calls_per_second", "Replies per second, recently.", lambda calls: calls.rate),
    (Gauge, "calls_in_flight", "Requests not yet answered.", lambda calls: calls.in_flight),
    (Gauge, "calls_waiting", "Requests queued for an endpoint.", lambda calls: calls.waiting),
    (Gauge, "failed_tries_ratio", "Share of failed tries.", lambda calls: calls.fault_share),
    (Gauge, "run_cost", "Cost of the run, over all sessions.", lambda calls: calls.cost),
    (Gauge, "run_cost_cap", "Cap on the cost.", lambda calls: calls.cost_cap),
    (Gauge, "endpoints_stalled", "Stalled endpoints.", lambda calls: len(calls.stalled)),
)


class RunMetrics(Collector):
    """Latest state of each stage; readable from any thread."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._stages: dict[str, StageLive] = {}
        self._stalls: dict[str, int] = {}
        self._funnel: tuple[FunnelStep, ...] = ()

    def note(self, live: StageLive) -> None:
        """Record the state of a stage."""
        with self._lock:
            self._stages[live.stage] = live

    def note_stall(self, stage: str) -> None:
        """Record that a stage, or an endpoint it calls, has stalled."""
        with self._lock:
            self._stalls[stage] = self._stalls.get(stage, 0) + 1

    def note_funnel(self, funnel: tuple[FunnelStep, ...]) -> None:
        """Record the totals of the finished stages."""
        with self._lock:
            self._funnel = funnel

    def collect(self) -> Iterator[Metric]:
        """Return all metrics, as called by Prometheus."""
        with self._lock:
            stages, stalls, funnel = dict(self._stages), dict(self._stalls), self._funnel
        yield from self._make_metrics(OF_STAGES, stages)
        yield from self._make_metrics(OF_CALLS, {name: live.calls for name, live in stages.items() if live.calls})
        stalled = Counter(f"{PREFIX}_stalls", "Stalls of the stage.", labels=STAGE)
        for stage in stages:
            stalled.add_metric((self._run, stage), stalls.get(stage, 0))
        yield stalled
        meaning = "Items dropped by the finished stages, by reason."
        rejected = Gauge(f"{PREFIX}_rejected", meaning, labels=(*STAGE, "unit", "reason"))
        for step in funnel:
            for reason, count in sorted(step.rejected.items()):
                rejected.add_metric((self._run, step.stage, step.unit, reason), count)
        yield rejected

    def _make_metrics(self, table: Iterable[Row[T]], found: Mapping[str, T]) -> Iterator[Metric]:
        """Return the metrics of a table, for each stage with a value."""
        for kind, name, meaning, read in table:
            metric = kind(f"{PREFIX}_{name}", meaning, labels=STAGE)
            for stage, live in found.items():
                if (value := read(live)) is not None:
                    metric.add_metric((self._run, stage), value)
            yield metric


@contextmanager
def expose_metrics(metrics: RunMetrics, config: WatchConfig) -> Iterator[None]:
    """Serve the metrics, or keep the file updated, while the block runs. Raises ConfigError for a port in use."""
    registry = CollectorRegistry()
    registry.register(metrics)
    stop = threading.Event()
    writer = threading.Thread(target=_write_on, args=(config.metrics_file, registry, stop), daemon=True)
    server = None
    if config.metrics_port is not None:
        try:
            server, _ = start_http_server(config.metrics_port, config.metrics_host, registry)
        except OSError as error:
            place = f"{config.metrics_host}:{config.metrics_port}"
            raise ConfigError(
                f"watch.metrics_port: cannot listen at {place} ({error.strerror})", "set another port, or null"
            ) from None
    if config.metrics_file:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        if server is not None:
            server.shutdown()
            server.server_close()
        if config.metrics_file:
            writer.join()


def _write_on(file: str | None, registry: CollectorRegistry, stop: threading.Event) -> None:
    """Write the file periodically, and once more at the end."""
    path = Path(file or "")
    while True:
        last = stop.wait(FILE_SECONDS)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_to_textfile(str(path), registry)
        except OSError as error:
            log.warning("watch.metrics_file: %s cannot be written (%s) at %.0f", path, error.strerror, time.time())
        if last:
            return
