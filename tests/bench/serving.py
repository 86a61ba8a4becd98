"""Against the real vLLM on the CPU: the requests of a small job through our client, beside a bare loop over the same.

Both send the same bodies at the same concurrency, in turn, several times; every reply is as long as is allowed, so both
ask for the same work. Tokens a second of ours over the bare loop's: what journal, budgets and flow control cost a
server that is really working.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from pydantic import JsonValue

from flows.configuration.cache import cache_folder
from flows.configuration.environments import environments_folder, read_recipe
from flows.configuration.run_config import load_config
from flows.models.serving import build_spec
from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.chat_model import ChatRequest, Message
from pipeline.serving.environments import find_environment
from pipeline.serving.managed_server import ManagedServer
from tests.bench.faults import answer_from_memory, start_job
from tests.bench.figures import Figure
from tests.bench.llm_clients import open_client
from tests.pipeline.serving.test_vllm import MODEL, SETTINGS
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump

IN_FLIGHT, REQUESTS, REPLY_TOKENS, ROUNDS = 8, 24, 16, 3
WHOLE_REPLIES: dict[str, JsonValue] = {"ignore_eos": True}


def run() -> list[Figure]:
    """All figures of this benchmark."""
    if find_environment(read_recipe("vllm-cpu"), environments_folder()) is None:
        return [Figure("skipped: `rampforge env create vllm-cpu` first", 0, "")]
    prompts = record_prompts()
    with tempfile.TemporaryDirectory() as logs:
        spec = build_spec(load_config(None, SETTINGS).serving, cache_folder())
        with ManagedServer(spec, Path(logs)) as server:
            replay_bare(server.url, prompts[:IN_FLIGHT])
            pairs = [(replay_ours(server.url, prompts), replay_bare(server.url, prompts)) for _ in range(ROUNDS)]
    ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    each = ", ".join(f"{mine / theirs:.2f}" for mine, theirs in pairs)
    ratio = sum(mine for mine, _ in pairs) / sum(theirs for _, theirs in pairs)
    return [
        Figure("tokens a second of ours / a bare loop, real vLLM", ratio, "x", ">= 0.95", f"rounds: {each}"),
        Figure("tokens a second, ours", ours, "tokens/s", "", f"{len(prompts)} requests, {IN_FLIGHT} in flight"),
        Figure("tokens a second, bare", bare, "tokens/s"),
    ]


def record_prompts() -> list[list[dict[str, str]]]:
    """The conversations of a small job, as a server that takes their place hears them."""
    with tempfile.TemporaryDirectory() as folder, FaultServer() as server:
        server.answer = answer_from_memory
        dump = write_dump(Path(folder) / "towns.xml.bz2", towns=20)
        words = start_job(server.url, dump, Path(folder) / "run")
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bodies = server.bodies[:: max(1, len(server.bodies) // REQUESTS)][:REQUESTS]
    return [body["messages"] for body in bodies]


def replay_ours(url: str, prompts: list[list[dict[str, str]]]) -> float:
    """Tokens a second through our client, journal and budgets on."""
    requests = [
        ChatRequest("any", tuple(Message("user", message["content"]) for message in prompt), max_tokens=REPLY_TOKENS)
        for prompt in prompts
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        open_client(url, IN_FLIGHT, Path(folder), MODEL, WHOLE_REPLIES) as chat,
    ):
        started = time.perf_counter()
        replies = list(run_concurrently(requests, chat.model.ask, IN_FLIGHT, chat.services))
        return sum(reply.completion_tokens for reply in replies) / (time.perf_counter() - started)


def replay_bare(url: str, prompts: list[list[dict[str, str]]]) -> float:
    """Tokens a second through aiohttp and nothing else."""

    async def work(session: aiohttp.ClientSession, rest: Iterable[list[dict[str, str]]]) -> int:
        tokens = 0
        for prompt in rest:
            body: dict[str, Any] = {"model": MODEL, "messages": prompt, "max_tokens": REPLY_TOKENS, "temperature": 0.0}
            async with session.post(f"{url}/chat/completions", data=orjson.dumps(body | WHOLE_REPLIES)) as response:
                tokens += orjson.loads(await response.read())["usage"]["completion_tokens"]
        return tokens

    async def run_all() -> float:
        headers, patience = {"content-type": "application/json"}, aiohttp.ClientTimeout(600)
        async with aiohttp.ClientSession(headers=headers, timeout=patience) as session:
            rest, started = iter(prompts), time.perf_counter()
            tokens = sum(await asyncio.gather(*(work(session, rest) for _ in range(IN_FLIGHT))))
            return tokens / (time.perf_counter() - started)

    return uvloop.run(run_all())
