"""Chat models at full throttle: 1,000 items of six dependent calls of half a second each, journal and budget on.

Beside our client, in the same run and against the same server: bare aiohttp, the bare openai client, and the peers that
are installed (`python -m tests.bench peers-install`). Ours runs before, between and after them, so that a machine that
gets busier or quieter on the way is no advantage to either.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor

from tests.bench.agentic_load import STEPS
from tests.bench.figures import Figure, run_apart
from tests.bench.llm_clients import Result
from tests.bench.mock_endpoint import read_stats, serve_mock
from tests.bench.peers import PEERS, Peer

ITEMS = 1000
LATENCY = 0.5
MANY = 1000
BOUNDS = {256: "<= 1.15", MANY: "<= 2.2"}
PEER_BOUNDS = {"curator": ">= 3", "datadesigner": ">= 5"}


def run() -> list[Figure]:
    """All figures of this benchmark."""
    return [*compare_clients(256), *compare_clients(MANY), share_between_processes(), *compare_memory()]


def compare_clients(in_flight: int) -> list[Figure]:
    """Ours, bare aiohttp and the bare openai client; at the higher load the peers too."""
    ours = [measure("drive_ours", in_flight)]
    bare = measure("drive_aiohttp", in_flight)
    ours.append(measure("drive_ours", in_flight))
    openai = measure("drive_openai", in_flight)
    peers = {}
    if in_flight == MANY:
        for peer in PEERS:
            if peer.is_installed():
                peers[peer.name] = measure_peer(peer, in_flight)
                ours.append(measure("drive_ours", in_flight))
    ideal = ITEMS * len(STEPS) * LATENCY / in_flight
    seconds = statistics.median(result["seconds"] for result in ours)
    cpu = statistics.median(result["cpu_ms"] for result in ours)
    spread = ", ".join(f"{result['seconds'] / ideal:.2f}" for result in ours)
    load = f"{in_flight} in flight"
    figures = [
        Figure(f"wall / ideal, {load}", seconds / ideal, "x", BOUNDS[in_flight], f"runs: {spread}"),
        Figure(f"wall / ideal of bare aiohttp, {load}", bare["seconds"] / ideal, "x"),
        Figure(f"wall / ideal of the bare openai client, {load}", openai["seconds"] / ideal, "x"),
        Figure(f"wall / that of the bare openai client, {load}", seconds / openai["seconds"], "x", "<= 1.3"),
        Figure(f"CPU a call, {load}", cpu, "ms", "<= 1.0", "prompts included"),
        Figure(f"CPU a call of bare aiohttp, {load}", bare["cpu_ms"], "ms"),
        Figure(f"CPU a call of the bare openai client, {load}", openai["cpu_ms"], "ms"),
    ]
    for name, result in peers.items():
        figures += [
            Figure(f"wall of {name} / ours, {load}", result["seconds"] / seconds, "x", PEER_BOUNDS[name]),
            Figure(f"wall / ideal of {name}, {load}", result["seconds"] / ideal, "x"),
            Figure(f"CPU a call of {name}, {load}", result["cpu_ms"], "ms"),
        ]
    return figures


def share_between_processes() -> Figure:
    """Two processes of ours that share the items and the requests in flight: the later end counts."""
    half = ITEMS // 2
    with serve_mock(latency=LATENCY) as url, ThreadPoolExecutor(2) as threads:
        parts = [
            threads.submit(
                run_apart, "tests.bench.llm_clients", "drive_ours", url, str(MANY // 2), str(half), str(first)
            )
            for first in (0, half)
        ]
        results = [part.result() for part in parts]
        stats = read_stats(url)
    assert sum(result["lost"] for result in results) == stats["disorders"] == stats["repeated"] == 0, (results, stats)
    wall = max(result["seconds"] for result in results) / (len(STEPS) * LATENCY)
    return Figure(f"wall / ideal, {MANY} in flight by two processes", wall, "x", "<= 1.4")


def compare_memory() -> list[Figure]:
    """Whether memory grows with the number of items."""
    peaks = []
    for items in (ITEMS, 4 * ITEMS):
        with serve_mock(latency=0.1) as url:
            peaks.append(run_apart("tests.bench.llm_clients", "drive_ours", url, "256", str(items))["peak_mb"])
    return [Figure("peak memory, 4 x the items / 1 x", peaks[1] / peaks[0], "x", "<= 1.2", f"{peaks[0]:.0f} MB")]


def measure(client: str, in_flight: int) -> Result:
    """A client of ours in a process of its own; every call must be answered once, in order, and no item lost."""
    with serve_mock(latency=LATENCY) as url:
        result = run_apart("tests.bench.llm_clients", client, url, str(in_flight), str(ITEMS))
        stats = read_stats(url)
    assert result["lost"] == stats["disorders"] == stats["repeated"] == 0, (result, stats)
    assert stats["answered"] == ITEMS * len(STEPS), stats
    return result


def measure_peer(peer: Peer, in_flight: int) -> Result:
    """A peer over the same workload; it may ask more than it needs, but must lose nothing."""
    with serve_mock(latency=LATENCY) as url:
        result = peer.drive(url, in_flight, ITEMS)
        stats = read_stats(url)
    assert result["lost"] == stats["disorders"] == 0, (result, stats)
    return result
