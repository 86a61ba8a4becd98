"""What an evaluation costs beside its model calls: `rampforge eval` against a bare loop over the very same requests.

A server that answers after a while serves both, at the same concurrency. The bare loop sends the bodies that the
evaluation sent, in their order, each question's calls one after the other, and does nothing else: no search, no
journal, no scores. Runs in turn, several times.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop

from flows.configuration.cache import cache_folder
from flows.configuration.run_config import load_config
from flows.evaluation.run import evaluate
from pipeline.decontamination.overlap import QuestionIndex, drop_overlapping
from pipeline.evaluation.benchmarks import Benchmark, read_benchmark
from schemas.config import RunConfig
from schemas.evaluations import EvalMethod, EvalSettings
from schemas.tasks import MaskTask
from tests.bench.figures import Figure
from tests.support.eval_samples import answer_roles, write_corpus, write_questions
from tests.support.fault_server import FaultServer
from tests.support.places import SHARED
from tests.support.trajectory_samples import make_task

QUESTIONS, IN_FLIGHT, LATENCY, ROUNDS = 200, 16, 0.4, 2
TASKS = 20_000


def run() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        benchmark = read_benchmark(write_questions(place, QUESTIONS))
        corpus = write_corpus(place, QUESTIONS)
        return [
            *compare_replay(place, benchmark, corpus, EvalMethod.RAG_PE),
            *compare_replay(place, benchmark, corpus, EvalMethod.AGENT_PE),
            *measure_decontamination(benchmark),
        ]


def compare_replay(place: Path, benchmark: Benchmark, corpus: Path, method: EvalMethod) -> list[Figure]:
    """Wall time of an evaluation over that of its requests alone; the index stands, as in a second evaluation."""
    with FaultServer(latency=LATENCY) as server:
        server.answer = answer_roles
        config = configure(server.url)

        def measure(name: str, index: Path | None) -> float:
            started = time.perf_counter()
            own = None if index else corpus
            evaluate(
                benchmark, place / name, EvalSettings(method=method), config, cache_folder(), index=index, corpus=own
            )
            return time.perf_counter() - started

        measure(f"{method}-first", None)
        chains = group_calls(server.bodies)
        rounds = []
        for number in range(ROUNDS):
            ours = measure(f"{method}-{number}", place / f"{method}-first")
            rounds.append((ours, replay(server.url, chains)))
    ours, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
    each = ", ".join(f"{mine / theirs:.2f}" for mine, theirs in rounds)
    calls = sum(map(len, chains))
    return [
        Figure(f"{method}: wall of {QUESTIONS} questions / bare replay", ours / bare, "x", "<= 1.1", f"rounds: {each}"),
        Figure(f"{method}: bare replay", bare, "s", "", f"{calls} calls of {LATENCY} s, {IN_FLIGHT} in flight"),
    ]


def configure(url: str) -> RunConfig:
    """A configuration that asks the server."""
    settings = [
        "llm.roles={default: {model: m}}",
        f'llm.endpoints={{local: {{url: "{url}", max_in_flight: {IN_FLIGHT}, adaptive: false}}}}',
        f"llm.in_flight={IN_FLIGHT}",
        "llm.limits.min_deadline=60",
        "agents.temperature=0",
    ]
    return load_config(None, settings)


def group_calls(bodies: Sequence[dict[str, Any]]) -> list[list[bytes]]:
    """The requests of each question, in their order."""
    chains: dict[str, list[bytes]] = {}
    for body in bodies:
        question = str(body["messages"][0]["content"]).split("<task>")[1].split("</task>")[0]
        chains.setdefault(question, []).append(orjson.dumps(body))
    return list(chains.values())


def replay(url: str, chains: Sequence[Sequence[bytes]]) -> float:
    """Seconds that aiohttp takes for the same requests."""

    async def work(session: aiohttp.ClientSession, rest: Any) -> None:
        for chain in rest:
            for body in chain:
                async with session.post(f"{url}/chat/completions", data=body) as response:
                    orjson.loads(await response.read())

    async def run_all() -> float:
        headers = {"content-type": "application/json"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(600)) as session:
            rest, started = iter(chains), time.perf_counter()
            await asyncio.gather(*(work(session, rest) for _ in range(IN_FLIGHT)))
            return time.perf_counter() - started

    return uvloop.run(run_all())


def measure_decontamination(benchmark: Benchmark) -> list[Figure]:
    """How fast tasks are screened, against the questions at hand, and that twice as many take twice as long."""
    files = [SHARED / f"{name}.jsonl.gz" for name in ("qa_dev", "bamboogle", "hotpot_dev_500", "fanoutqa_dev")]
    questions = [q for path in files if path.exists() for q in read_benchmark(path).questions] or benchmark.questions
    index = QuestionIndex(questions)
    tasks = make_tasks()
    once = _count_seconds(lambda: drain(tasks[: TASKS // 2], index))
    twice = _count_seconds(lambda: drain(tasks, index))
    note = f"{len(questions)} questions"
    return [
        Figure("tasks screened", TASKS / twice, "tasks/s/core", "", note),
        Figure("time for twice the tasks / once", twice / once, "x", "<= 2.2"),
    ]


def make_tasks() -> list[MaskTask]:
    """Tasks over the shared corpus, or over made-up towns."""
    path = SHARED / "corpus.jsonl.gz"
    if not path.exists():
        return [make_task(f"Town {n} lies on the Oste.", ["Oste"], f"t{n}") for n in range(TASKS)]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    words = [(row, max(row["text"].split(), key=len)) for row in rows if row["text"].split()]
    return [
        make_task(row["text"], [word], f"t{n}", title=row["title"])
        for n, (row, word) in enumerate((words * (TASKS // len(words) + 1))[:TASKS])
    ]


def drain(tasks: Sequence[MaskTask], index: QuestionIndex) -> int:
    """Screen tasks and keep nothing."""
    return sum(1 for _ in drop_overlapping(tasks, index))


def _count_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
