"""The language model of a shard: client, budget and call journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import Any

from flows.configuration.run_context import RunContext
from flows.models.credentials import read_endpoint_keys
from flows.models.tracing import open_tracing
from flows.models.usage import open_budget
from flows.models.weights import name_role_weights
from flows.process.logs import note_records
from pipeline.llm.async_stage import AsyncStage
from pipeline.llm.budget import BudgetedChatModel
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatModel, ChatRequest, OpenedModel, Service
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.refusals import SettledChatModel
from pipeline.llm.roles import find_role
from pipeline.stage import Outcome
from schemas.llm_config import LlmConfig, Unanswered

SEARCHES_IN_FLIGHT = 128
"""Items in progress at once in a stage without a language model: enough for searches to form large batches."""


def open_model(context: RunContext, stage: str, shard: str) -> OpenedModel:
    """The model of a shard. Its journal outlives the stage: a stage that is redone under other settings sends new
    requests only."""
    config = context.config.llm
    client = open_client(config)
    budget = open_budget(context)
    paid: ChatModel = BudgetedChatModel(client, budget)
    tracing = open_tracing(context)
    if tracing is not None:
        from pipeline.llm.tracing import TracedChatModel, note_try

        client.note_try = note_try
        paid = TracedChatModel(paid, config, tracing)
    gives_up = config.limits.unanswered is Unanswered.REJECT
    settled = SettledChatModel(paid, budget, lambda role: find_role(config, role).model, gives_up)
    path = context.run.root / "calls" / stage / f"{shard}.jsonl"
    journal = JournaledChatModel(settled, path, describe_calls(context, client), client.locate, client.read)
    return OpenedModel(journal, (journal, client))


def open_client(config: LlmConfig) -> OpenAiChatModel:
    """The bare client of the endpoints, with their keys. Raises ConfigError."""
    return OpenAiChatModel(config, read_endpoint_keys(config.endpoints.values()))


def describe_calls(context: RunContext, client: OpenAiChatModel) -> Callable[[ChatRequest], dict[str, Any]]:
    """A description of what a reply depends on: the request as sent, and the weights behind the model's name where they
    are known."""
    name_weights = lru_cache(partial(name_role_weights, context.config, context.cache))

    def describe(request: ChatRequest) -> dict[str, Any]:
        weights = name_weights(request.role)
        return client.describe(request) | ({"weights": weights} if weights else {})

    return describe


def make_stage(
    context: RunContext, work: Callable[[Any], Awaitable[Outcome]], model: OpenedModel | None, *services: Service
) -> AsyncStage:
    """A stage of asynchronous work; the services, and those of its model, are closed at its end."""
    tracing = open_tracing(context)
    if tracing is not None:
        work = tracing.trace_items(work)
    llm = context.config.llm
    in_flight = llm.in_flight if model else SEARCHES_IN_FLIGHT
    used = (*(model.services if model else ()), *services)
    return AsyncStage(note_records(work), in_flight, used, llm.limits.grace)
