"""Builds the language model of a shard: clients, budget and call journal. The one place that reads keys."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from flows.logs import note_records
from flows.stages import Workplace
from flows.trace_export import open_tracing
from pipeline.asking.concurrent_stage import ConcurrentStage
from pipeline.llm.budget import Budget, BudgetedChatModel
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ModelService
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.prices import PriceTable
from pipeline.stage import Outcome
from pipeline.storage.boundary import write_whole
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.llm_config import LlmConfig


def locate_books(run: RunFolder) -> Path:
    """Where a run's spending is written down: one file, shared by all its processes."""
    return run.root / "calls" / "books.jsonl"


def begin_sitting(run: RunFolder) -> None:
    """Write down that a sitting begins now: its hours are counted from here, in every process."""
    write_whole(_locate_sitting(run), repr(time.time()).encode())


def _locate_sitting(run: RunFolder) -> Path:
    return run.root / "calls" / "sitting.txt"


def open_budget(run: RunFolder, config: RunConfig) -> Budget:
    """The books of a run, with the caps of its configuration: one for all that a process does in a sitting."""
    sitting = _locate_sitting(run)
    started = float(sitting.read_text()) if sitting.exists() else None
    return _open_once(run.root.resolve(), config.llm.model_dump_json(), started)


@lru_cache(maxsize=1)  # the books of a long run are read once a process, not once a shard
def _open_once(root: Path, llm: str, started: float | None) -> Budget:
    config = LlmConfig.model_validate_json(llm)
    return Budget(config.budget, PriceTable(config.prices), locate_books(RunFolder(root)), time.time, started)


def open_model(place: Workplace, stage: str, shard: str) -> JournaledChatModel:
    """The model that a shard asks. Its calls outlive the stage: made again under other settings, it asks only for what
    is new."""
    config = place.config.llm
    names = {endpoint.key for endpoint in config.endpoints.values() if endpoint.key}
    keys = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    client = OpenAiChatModel(config, keys)
    paid: ModelService = BudgetedChatModel(client, open_budget(place.run, place.config))
    tracing = open_tracing(place)
    if tracing is not None:
        from pipeline.llm.tracing import TracedChatModel, note_try

        client.note_try = note_try
        paid = TracedChatModel(paid, config, tracing)
    return JournaledChatModel(paid, place.run.root / "calls" / stage / f"{shard}.jsonl", client.describe)


def make_stage(place: Workplace, model: ModelService, work: Callable[[Any], Awaitable[Outcome]]) -> ConcurrentStage:
    """A stage of asynchronous work that asks the model."""
    tracing = open_tracing(place)
    if tracing is not None:
        work = tracing.trace_items(work)
    return ConcurrentStage(note_records(work), place.config.llm.in_flight, model, place.config.llm.limits.grace)
