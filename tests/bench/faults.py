"""What faults and kill -9 cost: the agentic workload through a server that misbehaves, through a client that is killed,
and a whole job, with agents and judge, killed at half of its calls.

A completed call is one whose reply the client had written down. The server counts what it answered; what it had sent
and the killed client had not yet written down was in flight, and is the only thing that may be asked again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.llm.async_stage import run_concurrently
from tests.bench.agentic_load import STEPS
from tests.bench.figures import Figure, run_apart
from tests.bench.llm_clients import open_client, work_item
from tests.bench.mock_endpoint import read_stats, serve_mock
from tests.runs.test_llm_run import LIGHT, answer
from tests.runs.test_whole_run import hash_shards
from tests.support.command_line import RAMPFORGE
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

ITEMS, LATENCY = 1000, 0.5
SHARES = {"p500": 0.05, "p429": 0.05, "reset": 0.01, "malformed": 0.01, "hang": 1 / 500}
KILLED_IN_FLIGHT = 256
PATIENCE = 300.0


def run() -> list[Figure]:
    """All figures of this benchmark."""
    return [*meet_faults(256), *meet_faults(1000), *kill_client(), *kill_job()]


def meet_faults(in_flight: int) -> list[Figure]:
    """The workload with and without faults."""
    with serve_mock(latency=LATENCY) as url:
        clean = run_apart("tests.bench.llm_clients", "drive_ours", url, str(in_flight), str(ITEMS))
    with serve_mock(latency=LATENCY, **SHARES) as url:
        faulty = run_apart("tests.bench.llm_clients", "drive_ours", url, str(in_flight), str(ITEMS))
        stats = read_stats(url)
    met = ", ".join(f"{count} {status}" for status, count in sorted(stats["statuses"].items()))
    load = f"{in_flight} in flight"
    return [
        Figure(f"items lost to faults, {load}", faulty["lost"], "items", "<= 0", met),
        Figure(f"calls answered twice under faults, {load}", stats["repeated"], "calls", "<= 0"),
        Figure(f"wall with faults / without, {load}", faulty["seconds"] / clean["seconds"], "x", "<= 3"),
    ]


def kill_client() -> list[Figure]:
    """Kill -9 a client process when half of the calls are answered, start it again, and see what was asked twice."""
    half = ITEMS * len(STEPS) // 2
    with serve_mock(latency=LATENCY) as url, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.bench.faults", url, folder]
        with subprocess.Popen(command) as client:
            wait_until(lambda: read_stats(url)["answered"] >= half)
            client.kill()
        before = read_stats(url)["answered"]
        completed = count_lines(Path(folder) / "calls.jsonl")
        subprocess.run(command, check=True)
        stats = read_stats(url)
        results = (Path(folder) / "results.txt").read_text().splitlines()
    return [
        Figure("completed calls repeated after kill -9", stats["repeated"] - (before - completed), "calls", "<= 0",
               f"killed with {completed} completed"),
        Figure("calls in flight at the kill, asked again", stats["asked"] - ITEMS * len(STEPS), "calls",
               f"<= {KILLED_IN_FLIGHT}"),
        Figure("items lost after kill -9", ITEMS - len(set(results)), "items", "<= 0"),
        Figure("items doubled after kill -9", len(results) - len(set(results)), "items", "<= 0"),
    ]  # fmt: skip


def kill_job() -> list[Figure]:
    """Kill -9 `rampforge run` at half of its calls, resume, and compare with a run that nobody killed."""
    with tempfile.TemporaryDirectory() as folder:
        dump = write_dump(Path(folder) / "towns.xml.bz2", towns=20)
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        with FaultServer(latency=0.2) as server:
            server.answer = answer_from_memory
            subprocess.run(
                start_job(server.url, dump, whole), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            calls = server.answered.total()
        with FaultServer(latency=0.2) as server:
            server.answer = answer_from_memory
            with subprocess.Popen(
                start_job(server.url, dump, killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as job:
                wait_until(lambda: server.answered.total() >= calls / 2)
                os.kill(job.pid, signal.SIGKILL)
            time.sleep(1.0)  # its worker processes follow it
            before = server.answered.total()
            completed = sum(map(count_lines, killed.glob("calls/*/*.jsonl")))
            command = [*RAMPFORGE, "resume", str(killed), *name_endpoint(server.url)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            repeated = server.answered.total() - calls - (before - completed)
        different = sorted({name for name, _ in set(hash_shards(whole).items()) ^ set(hash_shards(killed).items())})
    return [
        Figure("a job killed at half of its calls: completed calls repeated", repeated, "calls", "<= 0",
               f"{completed} of {calls} completed"),
        Figure("shards that differ from an uninterrupted run's", len(different), "files", "<= 0",
               ", ".join(different)),
    ]  # fmt: skip


def start_job(url: str, dump: Path, folder: Path) -> list[str]:
    """The words of a run with agents and judge behind a URL."""
    settings = [*LIGHT, "masking.limit=60", "masking.mask_counts=[1]", "llm.in_flight=8"]
    settings += ["agents.policy=agents", "agents.allow_memory=true", "judging.judge=llm"]
    settings += ['llm.roles={default: {model: "m"}}']
    words = [word for setting in settings for word in ("--set", setting)]
    return [
        *RAMPFORGE,
        "run",
        str(dump),
        "--out",
        str(folder.parent),
        "--name",
        folder.name,
        *words,
        *name_endpoint(url),
    ]


def answer_from_memory(body: dict[str, Any]) -> dict[str, Any]:
    """Plays each role by the schema asked for; the observer remembers something wrong, which the judge must judge."""
    if "closing" not in body["response_format"]["json_schema"]["schema"]["required"]:
        return answer(body)
    remembered = {"mask": 1, "answer": "the Lower Vale", "passage": None}
    reply = {"conclusion": "I remember it.", "answers": [remembered], "next": "answer", "closing": "It is so."}
    return {"content": json.dumps(reply)}


def name_endpoint(url: str) -> list[str]:
    """The setting of the server: it may change between sessions."""
    return ["--set", f'llm.endpoints={{local: {{url: "{url}"}}}}']


def wait_until(reached: Callable[[], bool]) -> None:
    """Look often until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError("what was to be interrupted never came so far")
        time.sleep(0.01)


def count_lines(path: Path) -> int:
    """Whole lines of a journal."""
    return path.read_bytes().count(b"\n")


def main(url: str, folder: Path) -> None:
    """The client that is killed: the workload, its journal in the folder, and a line for each item when all is done."""

    async def work(item: int) -> tuple[int, bool]:
        return item, await work_item(item, chat.model)

    with open_client(url, KILLED_IN_FLIGHT, folder) as chat:
        ends = list(run_concurrently(range(ITEMS), work, KILLED_IN_FLIGHT, chat.services))
    (folder / "results.txt").write_text("".join(f"{item}\n" for item, done in sorted(ends) if done))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
