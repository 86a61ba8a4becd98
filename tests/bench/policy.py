"""A trained model through us, beside a bare replay of the very same requests: journal, budget, stages and tokenizer on.

The bare loop sends the bodies that ours sent, each item's in order, through aiohttp, and does nothing else: it knows
the tokens of every prompt beforehand. Both ask one server, which answers after a fixed time. Tokens a second of ours
over the bare loop's.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import aiohttp
import orjson
import uvloop

from pipeline.agents.trajectory_stage import TrajectoryStage
from pipeline.llm.async_stage import run_concurrently
from pipeline.rollouts.policy_rollout import PolicyFacts, PolicyRollout
from pipeline.search.engine import FoundPassage, SearchRequest, make_call
from schemas.llm_config import RoleModelConfig
from schemas.policies import PolicyConfig
from schemas.streams import TokenStream
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, Hit, SearchCall
from tests.bench.agentic_load import write_words
from tests.bench.figures import Figure, run_apart
from tests.bench.llm_clients import open_client
from tests.bench.mock_endpoint import serve_mock
from tests.bench.policy_load import TURNS, list_passages, list_stretches, load_model
from tests.support.trajectory_samples import make_task

WAVES, LATENCY, ROUNDS = 10, 0.7, 3
LOADS = (64, 256)
"""Attempts at once, of which there are `WAVES` times as many, so that the rush at the start, when all are tokenised at
once, is a small part of it. The larger is some 30,000 tokens a second."""


class Shelf:
    """Finds the same for everything, at once: searching is measured elsewhere."""

    fingerprint = "shelf"

    def __init__(self) -> None:
        self._passages = {passage.passage_id: passage for passage in list_passages()}
        self._hits = tuple(Hit(passage_id=name, score=1.0) for name in self._passages)

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        return [make_call(request.query, self._hits[:k]) for request in requests]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return [self._passages[name] for name in passage_ids]

    async def close(self) -> None:
        """There is nothing to close."""


def run() -> list[Figure]:
    """All figures of this benchmark."""
    return [figure for load in LOADS for figure in compare(load)]


def compare(load: int) -> list[Figure]:
    """Ours and the bare replay, in turn."""
    with tempfile.TemporaryDirectory() as folder, serve_mock(latency=LATENCY, tokens=1) as url:
        bodies = str(Path(folder) / "bodies")
        pairs = []
        for _ in range(ROUNDS):
            ours = run_apart("tests.bench.policy", "drive_ours", url, str(load), bodies)
            pairs.append((ours, run_apart("tests.bench.policy", "drive_bare", url, str(load), bodies)))
    ratios = [ours["speed"] / bare["speed"] for ours, bare in pairs]
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    speed = statistics.median(ours["speed"] for ours, _ in pairs)
    cpu = statistics.median(ours["cpu_ms"] for ours, _ in pairs)
    bare_cpu = statistics.median(bare["cpu_ms"] for _, bare in pairs)
    what = f"{load} in flight"
    return [
        Figure(f"tokens a second of ours / a bare replay, {what}", statistics.median(ratios), "x", ">= 0.95", each),
        Figure(
            f"tokens a second, ours, {what}", speed, "tokens/s", "", f"{WAVES * load} attempts of {TURNS} stretches"
        ),
        Figure(f"CPU a request, ours, {what}", cpu, "ms", "", "tokenizer, journal, rows and their checks included"),
        Figure(f"CPU a request, bare, {what}", bare_cpu, "ms"),
    ]


def make_tasks(count: int) -> list[MaskTask]:
    """Tasks of some hundred words."""
    text = "The school of {} was founded in 1868. {}"
    return [make_task(text.format(n, write_words(80, n)), ["1868"], f"t{n}") for n in range(count)]


def drive_ours(url: str, load: str, bodies: str) -> dict[str, float]:
    """Tasks to rows as the stage does it; the requests are written down afterwards."""
    tokenizer, _ = load_model()
    tasks, config = make_tasks(WAVES * int(load)), PolicyConfig(name="teacher-r1", max_completion=2048)
    with tempfile.TemporaryDirectory() as folder, open_client(url, int(load), Path(folder)) as chat:
        facts = PolicyFacts(RoleModelConfig(model="mock"), "w", "d")
        solver = PolicyRollout(Shelf(), chat.model, tokenizer, config, 3, facts)
        stage = TrajectoryStage(solver, [HideMode.NONE], 1)
        started, used = time.perf_counter(), time.process_time()
        outcomes = list(run_concurrently(tasks, stage.work, int(load), chat.services))
        seconds, used = time.perf_counter() - started, time.process_time() - used
    streams = [row for outcome in outcomes for row in outcome.rows if isinstance(row, TokenStream)]
    assert all(stream.fault is None and len(stream.runs) == 3 * TURNS - 1 for stream in streams), "a lost turn"
    with Path(bodies).open("wb") as file:
        file.writelines(orjson.dumps(list(_replay(stream))) + b"\n" for stream in streams)
    return _measure(seconds, used, len(streams))


def _replay(stream: TokenStream) -> Iterable[list[int]]:
    """The prompts that an attempt sent."""
    at = 0
    prompt = list(stream.prompt_ids)
    for run in stream.runs:
        before, at = at, at + run.length
        if run.kind == "think":
            yield prompt + list(stream.ids[:before])


def drive_bare(url: str, load: str, bodies: str) -> dict[str, float]:
    """The same requests through aiohttp."""
    items = [orjson.loads(line) for line in Path(bodies).read_bytes().splitlines()]
    more = {"temperature": 0.7, "max_tokens": 256, "stop": ["</search>", "</answer>"], "return_token_ids": True}

    async def work(session: aiohttp.ClientSession, rest: Iterable[list[list[int]]]) -> None:
        for item in rest:
            for prompt in item:
                body = orjson.dumps({"model": "mock", "prompt": prompt, **more})
                async with session.post(f"{url}/completions", data=body) as response:
                    orjson.loads(await response.read())

    async def run_all() -> tuple[float, float]:
        headers, connector = {"content-type": "application/json"}, aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
            rest, started, used = iter(items), time.perf_counter(), time.process_time()
            await asyncio.gather(*(work(session, rest) for _ in range(int(load))))
            return time.perf_counter() - started, time.process_time() - used

    return _measure(*uvloop.run(run_all()), len(items))


def _measure(seconds: float, used: float, items: int) -> dict[str, float]:
    written = sum(map(len, list_stretches()))
    return {"speed": items * written / seconds, "cpu_ms": 1000 * used / (items * TURNS)}
