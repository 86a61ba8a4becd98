"""Builds the language model of a shard: clients, budget and call journal. The one place that reads keys."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from flows.configuration.run_context import Workplace
from flows.models.tracing import open_tracing
from flows.models.weights import name_role_weights
from flows.process.logs import note_records
from pipeline.llm.budget import Budget, BudgetedChatModel
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatRequest, ModelService
from pipeline.llm.concurrent_stage import ConcurrentStage
from pipeline.llm.openai_chat_model import OpenAiChatModel, find_role
from pipeline.llm.prices import PriceTable
from pipeline.llm.refusals import SettledChatModel
from pipeline.llm.usage_log import Books, Entry
from pipeline.stage import Outcome
from pipeline.storage.files import write_whole
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.llm_config import LlmConfig, Unanswered


def locate_books(run: RunFolder) -> Path:
    """Where a run's spending is written down: one file, shared by all its processes."""
    return run.root / "calls" / "books.jsonl"


@dataclass(frozen=True, slots=True)
class SittingClock:
    """Seconds since 1970 as the wall clock had them when the sitting began, and counted on without it: a clock that is
    set in mid-run ends no sitting early, and makes no call longer."""

    began: float
    """The wall clock at the beginning."""
    origin: float
    """The monotonic clock then. All processes of a machine share it, and language models are asked by one machine."""

    def __call__(self) -> float:
        """The time."""
        return self.began + time.monotonic() - self.origin


def begin_sitting(run: RunFolder) -> None:
    """Write down that a sitting begins now: its hours are counted from here, in every process."""
    write_whole(_locate_sitting(run), f"{time.time()!r} {time.monotonic()!r}".encode())


def _locate_sitting(run: RunFolder) -> Path:
    return run.root / "calls" / "sitting.txt"


def find_clock(run: RunFolder) -> SittingClock | None:
    """The clock of the last sitting that began over a run; None where none was written down."""
    try:
        began, origin = map(float, _locate_sitting(run).read_text().split())
    except (FileNotFoundError, ValueError):  # ValueError: an earlier version wrote the beginning alone
        return None
    return SittingClock(began, origin)


def enter_calls(run: RunFolder, calls: Iterable[Entry]) -> None:
    """Enter calls that were made before the run was opened into its books."""
    if entries := list(calls):
        books = Books(locate_books(run))
        for entry in entries:
            books.write(entry)
        books.close()


def open_budget(run: RunFolder, config: RunConfig) -> Budget:
    """The books of a run, with the caps of its configuration: one for all that a process does in a sitting."""
    return _open_once(run.root.resolve(), config.llm.model_dump_json(), find_clock(run))


@lru_cache(maxsize=1)  # the books of a long run are read once a process, not once a shard
def _open_once(root: Path, llm: str, clock: SittingClock | None) -> Budget:
    config, clock = LlmConfig.model_validate_json(llm), clock or SittingClock(time.time(), time.monotonic())
    return Budget(config.budget, PriceTable(config.prices), locate_books(RunFolder(root)), clock, clock.began)


def open_model(place: Workplace, stage: str, shard: str) -> JournaledChatModel:
    """The model that a shard asks. Its calls outlive the stage: made again under other settings, it asks only for what
    is new."""
    config = place.config.llm
    names = {endpoint.key for endpoint in config.endpoints.values() if endpoint.key}
    keys = {name: os.environ[name] for name in sorted(names) if name in os.environ}
    client = OpenAiChatModel(config, keys)
    budget = open_budget(place.run, place.config)
    paid: ModelService = BudgetedChatModel(client, budget)
    tracing = open_tracing(place)
    if tracing is not None:
        from pipeline.llm.tracing import TracedChatModel, note_try

        client.note_try = note_try
        paid = TracedChatModel(paid, config, tracing)
    gives_up = config.limits.unanswered is Unanswered.REJECT
    settled = SettledChatModel(paid, budget, lambda role: find_role(config, role).model, gives_up)
    path = place.run.root / "calls" / stage / f"{shard}.jsonl"
    return JournaledChatModel(settled, path, describe_calls(place, client), client.locate, client.read)


def describe_calls(place: Workplace, client: OpenAiChatModel) -> Callable[[ChatRequest], dict[str, Any]]:
    """What decides a reply: the request as it is sent, and the weights behind the model's name where they are known."""
    name_weights = lru_cache(partial(name_role_weights, place.config, place.cache))

    def describe(request: ChatRequest) -> dict[str, Any]:
        weights = name_weights(request.role)
        return client.describe(request) | ({"weights": weights} if weights else {})

    return describe


def make_stage(place: Workplace, model: ModelService, work: Callable[[Any], Awaitable[Outcome]]) -> ConcurrentStage:
    """A stage of asynchronous work that asks the model."""
    tracing = open_tracing(place)
    if tracing is not None:
        work = tracing.trace_items(work)
    return ConcurrentStage(note_records(work), place.config.llm.in_flight, model, place.config.llm.limits.grace)
