"""Extractive trajectories over about 9,000 passages: search against bare bm25s, and where the time goes."""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s

from flows.models.chat_models import SEARCHES_IN_FLIGHT
from pipeline.agents.extractive.agents import ExtractiveAgents
from pipeline.agents.extractive.solver import ExtractiveSolver
from pipeline.agents.trajectory_stage import TrajectoryStage
from pipeline.llm.async_stage import AsyncStage
from pipeline.search.batching import BatchedSearch
from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import SearchRequest
from pipeline.search.tokens import make_tokenizer
from schemas.config import AgentsConfig
from schemas.search_config import SearchConfig
from schemas.trajectories import HideMode
from tests.bench.bare_bm25s import write_bare_index
from tests.bench.figures import Figure, compare_cpu
from tests.bench.sample import cut_sample, draw_passages, make_tasks, write_index

PASSAGE_TOKENS = 68
"""Cuts the sample dump into about 9,000 passages."""
TASKS = 200
COMPARED_QUERIES = 600


class Stopwatch:
    """Adds up the time spent in calls, by bucket, and notes the searches asked for."""

    def __init__(self) -> None:
        self.seconds = {"search": 0.0, "alignment": 0.0}
        self.requests: list[SearchRequest] = []

    def watch(self, owner: Any, method: str, bucket: str) -> None:
        """Time every call of a method from now on, in the thread that makes it."""
        bare: Callable[..., Any] = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            started = time.thread_time()
            result = bare(*arguments)
            self.seconds[bucket] += time.thread_time() - started
            if method == "search":
                self.requests.extend(arguments[0])
            return result

        async def timed_coroutine(*arguments: Any) -> Any:
            started = time.thread_time()
            result = await bare(*arguments)  # it never waits
            self.seconds[bucket] += time.thread_time() - started
            return result

        setattr(owner, method, timed_coroutine if inspect.iscoroutinefunction(bare) else timed)


def run() -> list[Figure]:
    """All figures of this benchmark."""
    passages = cut_sample(PASSAGE_TOKENS)
    tasks = make_tasks(draw_passages(passages, TASKS))
    with tempfile.TemporaryDirectory() as folder:
        index = write_index(passages, Path(folder))
        figures: list[Figure] = []
        for hide in (HideMode.NONE, HideMode.PASSAGE):
            stopwatch = Stopwatch()
            figures += measure_stage(index, tasks, hide, stopwatch)
        return figures + compare_search(index, stopwatch.requests[:COMPARED_QUERIES], len(passages))


def measure_stage(index: Path, tasks: Sequence[Any], hide: HideMode, stopwatch: Stopwatch) -> list[Figure]:
    """Tasks a second, and the share of the time that is neither search nor alignment."""
    engine = Bm25Engine(index)
    agents = ExtractiveAgents(engine.lang, engine.rarity)
    solver = ExtractiveSolver(BatchedSearch(engine), agents, AgentsConfig(), SearchConfig().k)
    stage = AsyncStage(TrajectoryStage(solver, [hide], 1).work, SEARCHES_IN_FLIGHT)
    list(stage.run(tasks[:8]))
    stopwatch.watch(engine, "search", "search")
    stopwatch.watch(engine, "read", "search")
    stopwatch.watch(agents, "plan", "alignment")
    stopwatch.watch(agents, "observe", "alignment")
    started = time.process_time()
    list(stage.run(tasks))
    seconds = time.process_time() - started
    other = 1 - sum(stopwatch.seconds.values()) / seconds
    share = stopwatch.seconds["search"] / seconds
    return [
        Figure(f"tasks, source hidden: {hide}", len(tasks) / seconds, "tasks/s/core", note=f"search {share:.0%}"),
        Figure(f"neither search nor alignment, hidden: {hide}", other, "of the time", "<= 0.2"),
    ]


def compare_search(index: Path, requests: Sequence[SearchRequest], passages: int) -> list[Figure]:
    """The same queries, tokenised by the same tokenizer, through our engine and through bare bm25s."""
    engine = Bm25Engine(index)
    bare_index = index.with_name("bare")
    write_bare_index(index, bare_index)
    model = bm25s.BM25.load(bare_index, mmap=True, show_progress=False)
    tokenize = make_tokenizer(engine.lang)
    k = SearchConfig().k

    def search_bare() -> None:
        model.retrieve([tokenize(request.query) for request in requests], k=k, show_progress=False)

    ours, bare, ratio = compare_cpu(lambda: engine.search(requests, k), search_bare)
    return [
        Figure("bare bm25s", len(requests) / bare, "queries/s/core", note=f"{passages:,} passages"),
        Figure("search", len(requests) / ours, "queries/s/core"),
        Figure("search / bare bm25s", ratio, "x", ">= 0.9"),
    ]
