"""Builds the language model of a shard: clients, budget and call journal. The one place that reads keys."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from flows.stages import Workplace
from pipeline.asking.concurrent_stage import ConcurrentStage
from pipeline.llm.budget import Budget, BudgetedChatModel, check_prices
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.prices import PriceTable
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig


def locate_books(run: RunFolder) -> Path:
    """Where a run's spending is written down: one file, shared by all its processes."""
    return run.root / "calls" / "books.jsonl"


def open_budget(run: RunFolder, config: RunConfig) -> Budget:
    """The books of a run, with the caps of its configuration."""
    check_prices(config.llm)
    return Budget(config.llm.budget, PriceTable(config.llm.prices), locate_books(run), time.monotonic)


def open_model(place: Workplace, stage: str, shard: str) -> JournaledChatModel:
    """The model that a shard asks. Its calls outlive the stage: made again under other settings, it asks only for what
    is new."""
    config = place.config.llm
    names = {endpoint.key for endpoint in config.endpoints.values() if endpoint.key}
    keys = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    client = OpenAiChatModel(config, keys)
    budgeted = BudgetedChatModel(client, open_budget(place.run, place.config))
    return JournaledChatModel(budgeted, place.run.root / "calls" / stage / f"{shard}.jsonl", client.describe)


def make_stage(
    place: Workplace, model: JournaledChatModel, work: Callable[[Any], Awaitable[Outcome]]
) -> ConcurrentStage:
    """A stage of asynchronous work that asks the model."""
    return ConcurrentStage(work, place.config.llm.in_flight, model, place.config.llm.limits.grace)
