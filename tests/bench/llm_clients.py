"""The agentic workload through our client, and through bare ones that do nothing else: what the benchmark compares.

Each `drive_*` takes the server's URL, how many items are under work at once and how many there are; it tells seconds,
CPU milliseconds a call (this process, prompts included) and items lost. Start-up is not counted, only the work.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import openai
import orjson
import uvloop
from pydantic import JsonValue

from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.budget import Budget, BudgetedChatModel
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatModel, ChatRequest, Message, ModelError, OpenedModel
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.prices import PriceTable
from schemas.llm_config import BudgetConfig, EndpointConfig, LlmConfig, ModelPrice, RoleModelConfig
from tests.bench.agentic_load import STEPS, SYSTEM, is_final, write_prompt

NO_CAP_REACHED = BudgetConfig(tokens=10**12, money=1e9, hours=1000)
Result = dict[str, float]
Ask = Callable[[str, str], Awaitable[str]]
"""Role and prompt to a reply."""


def drive_ours(url: str, in_flight: str, items: str, first: str = "0") -> Result:
    """Through rampforge's client with journal and budgets; `first`: number of the first item."""
    with tempfile.TemporaryDirectory() as folder, open_client(url, int(in_flight), Path(folder)) as chat:
        watch = Stopwatch()
        done = run_concurrently(
            range(int(first), int(first) + int(items)),
            lambda item: work_item(item, chat.model),
            int(in_flight),
            chat.services,
        )
        return watch.read(int(items), sum(done))


@contextmanager
def open_client(
    url: str, in_flight: int, folder: Path, model: str = "mock", extra: dict[str, JsonValue] | None = None
) -> Iterator[OpenedModel]:
    """Our client as a run sets it up: journal, budget with caps, prices; `extra` goes into every request."""
    config = LlmConfig(
        endpoints={"mock": EndpointConfig(url=url, max_in_flight=in_flight)},
        roles={"default": RoleModelConfig(model=model, extra=extra or {})},
        prices={model: ModelPrice(prompt=1, completion=4)},
    )
    client = OpenAiChatModel(config, {})
    budget = Budget(NO_CAP_REACHED, PriceTable(config.prices), folder / "usage.jsonl", time.monotonic)
    with JournaledChatModel(BudgetedChatModel(client, budget), folder / "calls.jsonl", client.describe) as journal:
        yield OpenedModel(journal, (journal, client))
    budget.close()


async def work_item(item: int, chat: ChatModel) -> bool:
    """The calls of one item; whether it came to its end."""

    async def ask(role: str, prompt: str) -> str:
        return (await chat.ask(ChatRequest(role, (Message("system", SYSTEM), Message("user", prompt))))).text

    try:
        return await chain_calls(item, ask)
    except ModelError:
        return False


async def chain_calls(item: int, ask: Ask) -> bool:
    """Six calls, each told what the ones before it brought."""
    replies: list[str] = []
    for step, role in enumerate(STEPS):
        replies.append(await ask(role, write_prompt(item, step, replies)))
    return is_final(item, replies[-1])


def drive_aiohttp(url: str, in_flight: str, items: str) -> Result:
    """Through bare aiohttp: no retries, no journal, nothing counted."""

    async def run() -> Result:
        connector = aiohttp.TCPConnector(limit=int(in_flight))
        headers = {"content-type": "application/json"}
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:

            async def ask(role: str, prompt: str) -> str:
                body = orjson.dumps({"model": "mock", "messages": list_messages(prompt)})
                async with session.post(f"{url}/chat/completions", data=body, headers=headers) as response:
                    return str(orjson.loads(await response.read())["choices"][0]["message"]["content"])

            return await drive_bare(ask, int(in_flight), int(items))

    return uvloop.run(run())


def drive_openai(url: str, in_flight: str, items: str) -> Result:
    """Through the bare openai client on its aiohttp transport, its fastest."""

    async def run() -> Result:
        limits = openai.DEFAULT_CONNECTION_LIMITS
        limits = type(limits)(max_connections=int(in_flight), max_keepalive_connections=int(in_flight))
        http_client = openai.DefaultAioHttpClient(limits=limits, timeout=600)
        async with openai.AsyncOpenAI(base_url=url, api_key="none", http_client=http_client) as client:

            async def ask(role: str, prompt: str) -> str:
                reply = await client.chat.completions.create(model="mock", messages=list_messages(prompt))  # type: ignore[arg-type]  # plain dictionaries are TypedDicts
                return str(reply.choices[0].message.content)

            return await drive_bare(ask, int(in_flight), int(items))

    return uvloop.run(run())


def list_messages(prompt: str) -> list[dict[str, str]]:
    """A conversation of two messages."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]


async def drive_bare(ask: Ask, in_flight: int, items: int) -> Result:
    """So many workers, each taking the next item."""
    watch = Stopwatch()
    rest = iter(range(items))

    async def work() -> int:
        return sum([await chain_calls(item, ask) for item in rest])

    return watch.read(items, sum(await asyncio.gather(*(work() for _ in range(in_flight)))))


class Stopwatch:
    """Wall time and CPU time of this process, from its making on."""

    def __init__(self) -> None:
        self._started, self._used = time.perf_counter(), time.process_time()

    def read(self, items: int, done: int) -> Result:
        """The figures, with so many items done of all."""
        seconds, used = time.perf_counter() - self._started, time.process_time() - self._used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cpu_ms = 1000 * used / (items * len(STEPS))
        return {"seconds": seconds, "cpu_ms": cpu_ms, "lost": items - done, "peak_mb": peak}
