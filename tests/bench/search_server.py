"""The search server under load: against the plain server's shape over the same passages, at half load, and with a
worker killed in the middle.

Servers and loader go ahead of all else on the machine where they may, so that what is measured is theirs; among
themselves they share its processors as they come. What the kernel and the host do goes ahead of them all the same: how
late the loader was tells of it.

Half load is half of the requests a second that were answered under full load just before, due evenly: on the machine as
it is, its stalls included, and on processors that are kept awake. Beside it stand half of the clients, each asking
again as soon as it is answered, and requests at random moments (a Poisson process): of a queue that were served at
constant speed, such arrivals would by themselves make the 99th percentile several times the median.

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
from tests.bench.wakefulness import staying_awake
from tests.support.search_samples import serving, wait_until_ready

CLIENTS = 64
WORKERS = 2
ROUNDS = 5
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
    """The figures of a load, and the CPU time of the servers while it lasted, for each request."""
    time.sleep(REST)
    before = _servers_cpu()
    loader = start_load(load)
    figures = finish_load(loader)
    return figures | {"cpu_ms": 1000 * (_servers_cpu() - before) / figures["answered"]}


def _servers_cpu() -> float:
    children = psutil.Process().children(recursive=True)
    servers = [child for child in children if os.sched_getscheduler(child.pid) != os.SCHED_IDLE]
    return sum(sum(server.cpu_times()[:2]) for server in servers)


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
    loads: dict[str, list[Row]] = {"plain": [], "ours": [], "fewer": [], "even": [], "random": [], "awake": []}
    with going_ahead() as rank, serve_plainly(shard) as plain_port, serve_ours(index) as port:
        for warm in (True, *[False] * ROUNDS):
            seconds = 1.0 if warm else SECONDS
            plain = put_load(Load(plain_port, queries, seconds, CLIENTS))
            ours = put_load(Load(port, queries, seconds, CLIENTS))
            fewer = put_load(Load(port, queries, seconds, CLIENTS // 2))
            half = Load(port, queries, seconds, CLIENTS, ours["per_second"] / 2)
            even, at_random = put_load(half), put_load(replace(half, at_random=True))
            with staying_awake():
                awake = put_load(half)
            rows = plain, ours, fewer, even, at_random, awake
            if not warm:
                for name, row in zip(loads, rows, strict=True):
                    loads[name].append(row)

    pairs = zip(loads["ours"], loads["plain"], strict=True)
    speed_up = statistics.median(ours["per_second"] / plain["per_second"] for ours, plain in pairs)
    plain_cpu, our_cpu = (take_median(loads[name], "cpu_ms") for name in ("plain", "ours"))
    lost = sum(row["lost"] for name in loads if name != "plain" for row in loads[name])
    rate, setting = take_median(loads["ours"], "per_second"), f"{CLIENTS} clients, {len(queries)} questions, k=3"
    return [
        Figure("queries a second, our server", rate, "1/s", note=f"{setting}, {WORKERS} workers"),
        Figure("queries a second, plain FastAPI", take_median(loads["plain"], "per_second"), "1/s", note=setting),
        Figure("ours / plain", speed_up, "x", ">= 5", note=f"median of rounds in turn, {rank}"),
        Figure("CPU a request, plain / ours", plain_cpu / our_cpu, "x"),
        Figure("CPU a request, ours", our_cpu, "ms"),
        *describe_latency(loads["fewer"], f"{CLIENTS // 2} clients"),
        compare_p99(loads["fewer"], f"{CLIENTS // 2} clients", "", late=False),
        *describe_latency(loads["even"], "half the rate"),
        compare_p99(loads["even"], "half the rate", "<= 3"),
        *describe_latency(loads["awake"], "half the rate, awake"),
        compare_p99(loads["awake"], "half the rate, awake", "<= 3"),
        *describe_latency(loads["random"], "half the rate, Poisson"),
        compare_p99(loads["random"], "half the rate, Poisson", ""),
        Figure("requests lost", lost, "", "<= 0"),
    ]


def take_median(rows: Sequence[Row], column: str) -> float:
    """The median of a figure over rounds."""
    return statistics.median(row[column] for row in rows)


def describe_latency(rows: Sequence[Row], load: str) -> list[Figure]:
    """What such a load made of latency."""
    cpu = f"CPU a request {take_median(rows, 'cpu_ms'):.3f} ms"
    return [
        Figure(f"median latency, {load}", take_median(rows, "median_ms"), "ms", note=cpu),
        Figure(f"p99 latency, {load}", take_median(rows, "p99_ms"), "ms"),
    ]


def compare_p99(rows: Sequence[Row], load: str, bound: str, late: bool = True) -> Figure:
    """The 99th percentile of all latencies to their median; with what kept the loader, which nothing of the server's
    may."""
    spreads = [row["p99_ms"] / row["median_ms"] for row in rows]
    note = f"rounds: {', '.join(f'{spread:.2f}' for spread in spreads)}"
    if late:
        p99, longest = (take_median(rows, name) for name in ("late_ms", "latest_ms"))
        note += f"; the loader was late by {p99:.2f} (p99), {longest:.1f} ms"
    return Figure(f"p99 / median, {load}", statistics.median(spreads), "x", bound, note)


def survive(index: Path, queries: list[str], seconds: float) -> list[Figure]:
    """A worker is killed in the middle of a steady load."""
    settings = ServerSettings(open_engine=partial(Bm25Engine, index), workers=WORKERS)
    with serving(settings) as server:
        load = start_load(Load(server.port, queries, seconds, CLIENTS, KILL_RATE))
        time.sleep(seconds / 2)
        os.kill(server.workers[0].pid or 0, signal.SIGKILL)
        figures = finish_load(load)
        wait_until_ready(server)
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
