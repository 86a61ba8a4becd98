"""What a server counts, for Prometheus and for the workers: one row of shared memory a worker, written by that worker.

Promises: any worker tells the sums over all of them; counts outlive the death of the worker that made them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from ctypes import Array, c_double
from multiprocessing.context import SpawnContext

CODES = (200, 400, 401, 404, 405, 408, 413, 422, 500, 502, 503)
STATUSES = ("ok", "empty", "timeout", "error", "refused")
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""
BUCKETS = tuple(f"below {bound:g}" for bound in BOUNDS)
"""What took longer than the bound before; Prometheus is told the sums."""

COLUMNS = (
    *(f"code {code}" for code in CODES),
    *(f"status {status}" for status in STATUSES),
    *BUCKETS,
    "requests",
    "seconds",
    "documents",
    "waiting",
    "in flight",
    "connections",
    "up",
    "restarts",
)
PLACES = {name: i for i, name in enumerate(COLUMNS)}


def share_memory(context: SpawnContext, workers: int) -> Array[c_double]:
    """Room for the counts of so many workers."""
    return context.RawArray(c_double, workers * len(COLUMNS))


class Counters:
    """One worker's row, and the sums over all."""

    def __init__(self, memory: Array[c_double], row: int) -> None:
        self.row = row
        self._memory = memory
        self._start = row * len(COLUMNS)

    def begin(self) -> None:
        """A worker starts on this row: what counts the present begins anew."""
        self.put("waiting", 0.0)
        self.put("in flight", 0.0)
        self.put("connections", 0.0)
        self.put("up", 1.0)

    def add(self, name: str, amount: float = 1.0) -> None:
        """Count something."""
        self._memory[self._start + PLACES[name]] += amount

    def put(self, name: str, value: float) -> None:
        """Say how things are."""
        self._memory[self._start + PLACES[name]] = value

    def list_up(self, name: str) -> list[tuple[int, float]]:
        """Row and value of each worker that is up."""
        ups, values = self._memory[PLACES["up"] :: len(COLUMNS)], self._memory[PLACES[name] :: len(COLUMNS)]
        return [(row, value) for row, (up, value) in enumerate(zip(ups, values, strict=True)) if up]

    def time(self, seconds: float) -> None:
        """A search request took so long."""
        self.add("requests")
        self.add("seconds", seconds)
        if seconds <= BOUNDS[-1]:
            self.add(BUCKETS[bisect_left(BOUNDS, seconds)])

    def total(self, name: str) -> float:
        """The sum over all workers."""
        return sum(self._memory[PLACES[name] :: len(COLUMNS)])

    def write(self) -> str:
        """Everything, in Prometheus's text format."""
        return "".join(f"{line}\n" for line in self._list_lines())

    def _list_lines(self) -> Iterator[str]:
        yield from self._describe("requests_total", "counter", "Requests answered, by HTTP status.")
        yield from (f'rampforge_search_requests_total{{code="{c}"}} {self.total(f"code {c}"):.0f}' for c in CODES)
        yield from self._describe("queries_total", "counter", "Queries searched, by how that ended.")
        yield from (f'rampforge_search_queries_total{{status="{s}"}} {self.total(f"status {s}"):.0f}' for s in STATUSES)
        yield from self._describe("documents_total", "counter", "Documents handed out.")
        yield f"rampforge_search_documents_total {self.total('documents'):.0f}"
        yield from self._describe("request_seconds", "histogram", "Time from a search request to its answer.")
        count = 0.0
        for bound, bucket in zip(BOUNDS, BUCKETS, strict=True):
            count += self.total(bucket)
            yield f'rampforge_search_request_seconds_bucket{{le="{bound:g}"}} {count:.0f}'
        yield f'rampforge_search_request_seconds_bucket{{le="+Inf"}} {self.total("requests"):.0f}'
        yield f"rampforge_search_request_seconds_sum {self.total('seconds'):.6f}"
        yield f"rampforge_search_request_seconds_count {self.total('requests'):.0f}"
        for name, place, text in (
            ("queries_waiting", "waiting", "Queries that wait for a search."),
            ("requests_in_flight", "in flight", "Requests under way."),
            ("connections", "connections", "Open connections of clients."),
            ("workers", "up", "Worker processes that answer."),
        ):
            yield from self._describe(name, "gauge", text)
            yield f"rampforge_search_{name} {self.total(place):.0f}"
        yield from self._describe("worker_restarts_total", "counter", "Workers that died and were started again.")
        yield f"rampforge_search_worker_restarts_total {self.total('restarts'):.0f}"

    def _describe(self, name: str, kind: str, text: str) -> Iterator[str]:
        yield f"# HELP rampforge_search_{name} {text}"
        yield f"# TYPE rampforge_search_{name} {kind}"
