"""Metrics of a search server, kept by prometheus-client in one file per worker and kind.

Guarantees: any worker reports the sums over all workers; counters survive the death of a worker, since its successor
continues with the same files. Gauges are as of the last tick of each worker, a tenth of a second.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CODES = (200, 400, 401, 403, 404, 405, 413, 422, 500, 502, 503)
STATUSES = ("ok", "empty", "timeout", "error", "refused")
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""
PREFIX = "rampforge_search"


class Metrics:
    """The metrics of one worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace=PREFIX, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, namespace=PREFIX, registry=registry, multiprocess_mode="livesum")

        requests = counter("requests", "Requests answered, by HTTP status.", "code")
        self.requests = {code: requests.labels(str(code)) for code in CODES}
        queries = counter("queries", "Queries searched, by how that ended.", "status")
        self.queries = {status: queries.labels(status) for status in STATUSES}
        self.documents = counter("documents", "Documents handed out.")
        self.seconds = Histogram(
            "request_seconds",
            "Time from a search request to its answer.",
            namespace=PREFIX,
            registry=registry,
            buckets=BOUNDS,
        )
        self.waiting = gauge("queries_waiting", "Queries that wait for a search.")
        self.in_flight = gauge("requests_in_flight", "Requests under way.")
        self.connections = gauge("connections", "Open connections of clients.")
        self.workers = gauge("workers", "Worker processes that answer.")
        self.restarts = counter("worker_restarts", "Workers that died and were started again.")


def share_metrics(folder: Path, row: int) -> CollectorRegistry:
    """Store metrics created from now on in `folder`, as worker `row`; a registry of the metrics of all workers."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # The library chooses this at its import, which the engine may have done already.
    values.ValueClass = values.MultiProcessValue(lambda: row)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))
    return registry


def drop_gauges(folder: Path, row: int) -> None:
    """Remove the gauges of a dead worker."""
    mark_process_dead(row, str(folder))
