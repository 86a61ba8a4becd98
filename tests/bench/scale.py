"""`make bench-scale`, or `python -m tests.bench.scale SHARDS TASKS`: the whole job, from pages to report, over so many
shards of so many tasks, with agents whose language model answers at once; against a bare loop over the same functions.

The bare loop has two processes and calls what the flow calls for a shard, stage after stage: no Prefect, no progress,
no ledger but the commits. What the flow takes beyond it is what scheduling costs. The model is the one thing that is
not real: its place in the client is taken, so budget, call journal, agents, searches and shards are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import orjson
import psutil

from flows.configuration.run_context import RunContext
from flows.execution.corpus_stage import cut_pieces
from flows.execution.run import start_job
from flows.execution.shard import ShardReport, clean_pages, prepare_stage, work_shard
from flows.prefect_api.ephemeral_server import local_api
from flows.prefect_api.settings import settle_prefect
from flows.stages.ledger_checks import list_all_settings
from flows.stages.registry import STAGES
from pipeline.corpus.readers.opening import open_source
from pipeline.llm.chat_model import ChatReply, ChatRequest
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import close_stage, digest_manifest, open_stage
from schemas.config import RunConfig
from schemas.live import EndpointLive
from tests.bench.__main__ import show
from tests.bench.figures import Figure
from tests.support.sample_dump import SYLLABLES, make_name

WORKERS = 2
YEAR, RARE = re.compile(r"\b1[5-9]\d\d\b"), re.compile(r"\b[a-z]{8,}\b")


class InstantModel:
    """Takes the client's place: it searches for words of the passage, and answers with the first year it is shown."""

    def __init__(self, *_: object) -> None:
        self.note_try = None

    async def ask(self, request: ChatRequest) -> ChatReply:
        """The role's reply."""
        told = write_reply(request.role, request.messages[-1].text)
        return ChatReply(json.dumps(told), "", "stop", "instant", prompt_tokens=400, completion_tokens=40)

    def describe(self, request: ChatRequest) -> dict[str, Any]:
        """What identifies a call."""
        return {"role": request.role, "messages": [[m.speaker, m.text] for m in request.messages], "n": request.attempt}

    def locate(self, _: str) -> tuple[str, ...]:
        """The address of every role."""
        return ("http://instant",)

    def read(self, request: ChatRequest, content: bytes) -> ChatReply:
        """A reply from the journal's copy of a body: none is kept, since no reply is unreadable."""
        raise NotImplementedError

    def stop(self) -> None:
        """Nothing is in flight."""

    async def close(self) -> None:
        """Nothing is open."""

    def load(self) -> tuple[EndpointLive, ...]:
        """There are no endpoints."""
        return ()


def write_reply(role: str, prompt: str) -> dict[str, Any]:
    """What each role says at once."""
    if role == "planner":
        return {"think": "Which year is meant?", "mask": 1, "give_up": False}
    if role == "rewriter":
        words = RARE.findall(prompt.partition("<task>")[2].partition("</task>")[0])
        return {"queries": [" ".join(words[at : at + 3]) for at in (0, 3, 6)]}
    year = YEAR.search(prompt.partition("Passages found")[2])
    answer = {"mask": 1, "answer": year.group() if year else None, "passage": 1 if year else None}
    closing = "The first passage names a year."
    return {"conclusion": closing, "answers": [answer], "next": "answer" if year else "give_up", "closing": closing}


def work_instantly(stage: str, root: str, shard: str, config: RunConfig, cache: Path) -> ShardReport:
    """What the flow has done for a shard, in a worker whose client answers at once."""
    with mock.patch("flows.models.chat_models.OpenAiChatModel", InstantModel):
        return work_shard(stage, root, shard, config, cache)


def write_pages(path: Path, shards: int, tasks: int) -> None:
    """A page for each task: a passage long, with years to hide, and words enough to tell it from the others."""
    rng = random.Random(0)
    with path.open("wb") as file:
        for _ in range(shards * tasks):
            town = make_name(rng, "ton")
            words = [make_name(rng, "".join(rng.choices(SYLLABLES, k=2))).lower() for _ in range(40)]
            text = f"{town} is a market town known for {' '.join(words[:20])}. "
            text += f"Its stone bridge was built in {rng.randrange(1500, 1950)} by {make_name(rng, 'son')}, "
            text += f"and its mill, with {' '.join(words[20:])}, employs {rng.randrange(100, 9000)} people."
            file.write(orjson.dumps({"title": f"{town} {rng.randrange(10**9)}", "text": text}) + b"\n")


def make_config(source: Path, tasks: int) -> RunConfig:
    """A page, a passage, a task and an attempt are one each."""
    return RunConfig.model_validate(
        {
            "corpus": {"sources": [str(source)], "pages_per_shard": tasks, "min_chars": 50},
            "passages": {"min_tokens": 16},
            "masking": {"ner": None, "scorer": None, "links": False, "selection": "random", "mask_counts": [1]},
            "search": {"hide": ["none"]},
            "agents": {"policy": "agents"},
            "llm": {
                "roles": {"default": {"model": "instant"}},
                "endpoints": {"none": {"url": "http://127.0.0.1:9/v1"}},
                "prices": {"instant": {"prompt": 0.0, "completion": 0.0}},
            },
            "execution": {"workers": WORKERS},
        }
    )


class MemoryWatch:
    """The leading process's memory, looked at while the block runs."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[tuple[str, float]] = []

    def _look(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(1.0):
            stages = [stage for stage in STAGES if (self._run.ledger(stage) / "stage.json").exists()]
            self.seen.append((stages[-1] if stages else "", process.memory_info().rss / 2**20))

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def growth(self, stage: str) -> float:
        """By what share it grew over the last three quarters of a stage."""
        sizes = [size for name, size in self.seen if name == stage]
        return max(sizes) / sizes[len(sizes) // 4] - 1 if sizes else 0.0


def run_flow(root: Path, config: RunConfig, cache: Path) -> tuple[float, MemoryWatch]:
    """The job as `rampforge run` does it; its seconds, Prefect's start left out."""
    patches = (
        mock.patch("flows.execution.stage.work_shard", work_instantly),
        mock.patch("flows.execution.run.require_start", return_value=()),
    )
    with local_api(), patches[0], patches[1], MemoryWatch(RunFolder(root)) as memory:
        started = time.perf_counter()
        start_job(root, config, cache, list(STAGES))
        return time.perf_counter() - started, memory


def run_bare(root: Path, config: RunConfig, cache: Path) -> dict[str, float]:
    """The same functions over the same shards in a bare loop; the seconds of each stage."""
    context = RunContext(RunFolder(root), config, cache)
    seconds: dict[str, float] = {}
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for name, spec in STAGES.items():
            if not spec.enabled(config):
                continue
            started = time.perf_counter()
            upstream = context.run.manifest(spec.inputs[0]) if spec.inputs else None
            settings = list_all_settings(context, spec)
            open_stage(context.run, name, settings, digest_manifest(upstream) if upstream else None)
            if spec.prepare:
                prepare_stage(name, str(root), config, cache)
            calls: Iterator[tuple[Any, ...]] = iter(())
            work: Callable[..., ShardReport] = work_instantly
            if upstream is None:
                work, calls = clean_pages, list_pieces(context)
            elif spec.open:
                calls = ((name, str(root), shard.shard, config, cache) for shard in upstream.shards)
            done = [report.commit.shard for report in pool.imap(partial(spread, work), calls, chunksize=1)]
            close_stage(context.run, name, done)
            seconds[name] = time.perf_counter() - started
    return seconds


def spread(work: Callable[..., ShardReport], arguments: tuple[Any, ...]) -> ShardReport:
    """A function of several arguments as one of a tuple."""
    return work(*arguments)


def list_pieces(context: RunContext) -> Iterator[tuple[Any, ...]]:
    """What the first stage is called with, shard by shard."""
    config = context.config
    pieces = cut_pieces(open_source(config.corpus.sources[0], config.corpus), config.corpus.pages_per_shard)
    for number, pages in enumerate(pieces):
        yield str(context.run.root), f"000-{number:05d}", config, context.cache, pages


def measure(shards: int, tasks: int) -> list[Figure]:
    """All figures, for so many shards of so many tasks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "pages.jsonl"
        write_pages(source, shards, tasks)
        config = make_config(source, tasks)
        flow, memory = run_flow(folder / "flow", config, folder)
        run = RunFolder(folder / "flow")
        timings = {timing.stage: timing for timing in run.record().timings}
        made = run.manifest("tasks").rows("tasks")
        (folder / "bare").mkdir()
        shutil.copy(folder / "flow" / "run.json", folder / "bare" / "run.json")  # the report tells it
        bare = run_bare(folder / "bare", config, folder)
        assert digest_manifest(run.manifest("judgements")) == digest_manifest(
            RunFolder(folder / "bare").manifest("judgements")
        ), "the two made different rows"
    return list_figures(shards, made, flow, bare, {stage: timing.seconds for stage, timing in timings.items()}, memory)


def list_figures(
    shards: int, made: int, flow: float, bare: Mapping[str, float], timed: Mapping[str, float], memory: MemoryWatch
) -> list[Figure]:
    """The figures of two runs."""
    whole, sizes = sum(bare.values()), [size for _, size in memory.seen]
    stages = len(bare)
    figures = [
        Figure("tasks", float(made), "", note=f"{shards:,} shards, {stages} stages, {WORKERS} processes"),
        Figure("the whole job", flow, "s", note=f"{made / flow:,.0f} tasks a second, {os.cpu_count()} cores"),
        Figure("bare loop over the same functions", whole, "s"),
        Figure("the job / the bare loop", flow / whole, "x", "<= 1.15"),
        Figure("scheduling", 1000 * (flow - whole) / (shards * stages), "ms", note="a shard and stage"),
        Figure("memory of the leading process, peak", max(sizes), "MiB"),
        Figure("its growth over the stage trajectories", memory.growth("trajectories"), "", "<= 0.1", "share"),
    ]
    for stage, seconds in bare.items():
        figures.append(Figure(f"stage {stage}", timed.get(stage, 0.0), "s", note=f"bare {seconds:.1f} s"))
    return figures


if __name__ == "__main__":
    from tests.bench import scale  # worker processes do not run this script again: they import its functions by name

    settle_prefect(debug=False)
    show({"scale": scale.measure(*(int(word) for word in sys.argv[1:3]))})
