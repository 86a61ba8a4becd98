"""The search server under load: against the plain server's shape over the same passages, at half load, and with a
worker killed in the middle.

Servers and loader go ahead of all else on the machine where they may, so that what is measured is theirs; among
themselves they share its processors as they come. Half load is half of the requests a second that were answered under
full load just before: due evenly, which the bound is held against, and at random moments (a Poisson process), which
is reported beside it: of a queue that were served at constant speed, such arrivals alone would make the 99th
percentile several times the median.

`python -m tests.bench.search_server 600` makes the last of these as long as that, in seconds, and only that.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import psutil

from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search_server.settings import ServerSettings
from pipeline.serving.managed_server import find_port
from schemas.search_config import SearchConfig
from tests.bench.figures import Figure
from tests.bench.question_corpus import read_questions, write_shared_corpus
from tests.bench.search_load import Load, finish_load, start_load
from tests.search_samples import serving

CLIENTS = 64
WORKERS = 2
ROUNDS = 3
SECONDS = 6.0
REST = 2.0
"""Seconds before each load. What else the machine has to do waits while a load goes ahead of it, and the kernel lets it
in by force for up to 50 ms of a second: it has its turn now, instead of in the middle of the next load."""
KILL_SECONDS = 30.0
KILL_RATE = 200.0
"""Requests a second while a worker is killed: little, so that what is lost is lost to the kill."""

Row = dict[str, float]


@contextmanager
def going_ahead() -> Iterator[str]:
    """This process, and what it starts meanwhile, before all else on the machine; words for a note."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield "beside whatever else ran"
        return
    try:
        yield "ahead of all else on the machine"
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def serve_plainly(shard: Path) -> Iterator[int]:
    """The server to be measured against; its port."""
    port = find_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.plain_retriever", str(shard), str(port)])
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def serve_ours(index: Path) -> Iterator[int]:
    """Our server; its port."""
    settings = ServerSettings(open_engine=partial(Bm25Engine, index), workers=WORKERS)
    with serving(settings) as server:
        yield server.port


def put_load(load: Load) -> Row:
    """The figures of a load, and the CPU time of all children but the loader while it lasted, for each request."""
    time.sleep(REST)
    before = _children_cpu()
    loader = start_load(load)
    figures = finish_load(loader)
    return figures | {"cpu_ms": 1000 * (_children_cpu() - before) / figures["answered"]}


def _children_cpu() -> float:
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def run() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        shard, index = Path(folder) / "passages.parquet", Path(folder) / "index"
        if not write_shared_corpus(shard):
            return []
        build_index([shard], index, SearchConfig(), "en")
        queries = [question for question, _ in read_questions()]
        return [*compare(shard, index, queries), *survive(index, queries, KILL_SECONDS)]


def compare(shard: Path, index: Path, queries: list[str]) -> list[Figure]:
    """Ours against the plain server, in turn, so that other work on the machine falls on both."""
    loads: dict[str, list[Row]] = {"plain": [], "ours": [], "even": [], "random": []}
    with going_ahead() as rank, serve_plainly(shard) as plain_port, serve_ours(index) as port:
        for warm in (True, *[False] * ROUNDS):
            seconds = 1.0 if warm else SECONDS
            plain = put_load(Load(plain_port, queries, seconds, CLIENTS))
            ours = put_load(Load(port, queries, seconds, CLIENTS))
            half = Load(port, queries, seconds, CLIENTS, ours["per_second"] / 2)
            rows = plain, ours, put_load(half), put_load(replace(half, at_random=True))
            if not warm:
                for name, row in zip(loads, rows, strict=True):
                    loads[name].append(row)

    def median(name: str, column: str) -> float:
        return statistics.median(row[column] for row in loads[name])

    pairs = zip(loads["ours"], loads["plain"], strict=True)
    speed_up = statistics.median(ours["per_second"] / plain["per_second"] for ours, plain in pairs)
    lost = sum(row["lost"] for name in ("ours", "even", "random") for row in loads[name])
    rate, setting = median("ours", "per_second"), f"{CLIENTS} clients, {len(queries)} questions, k=3"
    return [
        Figure("queries a second, our server", rate, "1/s", note=f"{setting}, {WORKERS} workers"),
        Figure("queries a second, plain FastAPI", median("plain", "per_second"), "1/s", note=setting),
        Figure("ours / plain", speed_up, "x", ">= 5", note=f"median of rounds in turn, {rank}"),
        Figure("CPU a request, plain / ours", median("plain", "cpu_ms") / median("ours", "cpu_ms"), "x"),
        Figure("CPU a request, ours", median("ours", "cpu_ms"), "ms"),
        *describe_half(loads["even"], "even arrivals", "<= 3"),
        *describe_half(loads["random"], "Poisson arrivals", ""),
        Figure("requests lost", lost, "", "<= 0"),
    ]


def describe_half(rows: Sequence[Row], arrivals: str, bound: str) -> list[Figure]:
    """What half the load made of latency."""
    names = ("median_ms", "p99_ms", "late_ms", "cpu_ms")
    middle, p99, late, cpu = (statistics.median(row[name] for row in rows) for name in names)
    spreads = [row["p99_ms"] / row["median_ms"] for row in rows]
    each = ", ".join(f"{spread:.2f}" for spread in spreads)
    return [
        Figure("median latency at half load", middle, "ms", note=f"{arrivals}; CPU a request {cpu:.3f} ms"),
        Figure("p99 latency at half load", p99, "ms", note=f"{arrivals}; p99 of the loader's lateness {late:.2f} ms"),
        Figure("p99 / median at half load", statistics.median(spreads), "x", bound, f"{arrivals}; rounds: {each}"),
    ]


def survive(index: Path, queries: list[str], seconds: float) -> list[Figure]:
    """A worker is killed in the middle of a steady load."""
    settings = ServerSettings(open_engine=partial(Bm25Engine, index), workers=WORKERS)
    with serving(settings) as server:
        load = start_load(Load(server.port, queries, seconds, CLIENTS, KILL_RATE))
        time.sleep(seconds / 2)
        os.kill(server.places[0].pid or 0, signal.SIGKILL)
        figures = finish_load(load)
        text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", trust_env=False).text
        restarted = "rampforge_search_worker_restarts_total 1" in text
    note = f"{seconds:g} s, {KILL_RATE:g} requests a second, one of {WORKERS} workers killed -9"
    return [
        Figure("answered with a worker killed", figures["answered"], "", note=note),
        Figure("lost with a worker killed", figures["lost"], "", "<= 0", note="a reset connection is tried once more"),
        Figure("sent again", figures["resent"], ""),
        Figure("longest wait", figures["longest_ms"], "ms"),
        Figure("killed worker started again", float(restarted), "", ">= 1"),
    ]


def run_kill(seconds: float) -> None:
    """The last part alone, as long as wanted."""
    with tempfile.TemporaryDirectory() as folder:
        shard, index = Path(folder) / "passages.parquet", Path(folder) / "index"
        write_shared_corpus(shard)
        build_index([shard], index, SearchConfig(), "en")
        for figure in survive(index, [question for question, _ in read_questions()], seconds):
            sys.stdout.write(f"{figure.name}: {figure.value:g} {figure.unit} {figure.note}\n")


if __name__ == "__main__":
    run_kill(float(sys.argv[1]))
