"""Chat models at full throttle: 1,000 items of six dependent calls (workload W2), journal and budget on, with and
without faults, against the mock server of the shared benchmark kit."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.budget import Budget, BudgetedChatModel
from pipeline.llm.call_journal import JournaledChatModel
from pipeline.llm.chat_model import ChatRequest, Message, ModelError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.prices import PriceTable
from schemas.llm_config import BudgetConfig, EndpointConfig, LlmConfig, ModelPrice, RoleModelConfig
from tests.bench.figures import Figure, run_apart
from tests.bench.mock_endpoint import KIT, read_stats, serve_mock

ITEMS = 1000
LATENCY = 0.5
BOUNDS = {256: "<= 1.2", 1000: "<= 2"}
FAULTS = {"p500": 0.05, "p429": 0.05, "preset": 0.01, "pbad": 0.01, "hangs": 1 / 500}
NO_CAP_REACHED = BudgetConfig(tokens=10**12, money=1e9, hours=1000)


def run() -> list[Figure]:
    """All figures of this benchmark."""
    if not KIT.is_dir():
        return [Figure("skipped: the benchmark kit is not beside the checkout", 0, "")]
    figures: list[Figure] = []
    for in_flight, bound in BOUNDS.items():
        with serve_mock(latency=LATENCY) as url:
            clean = run_apart("tests.bench.llm", "drive", url, str(in_flight))
            violations = read_stats(url)["dep_violations"]
        assert violations == clean["lost"] == 0
        ideal = ITEMS * clean["steps"] * LATENCY / in_flight
        figures += [
            Figure(f"wall / ideal, {in_flight} in flight", clean["seconds"] / ideal, "x", bound),
            Figure(f"CPU a call, {in_flight} in flight", clean["cpu_ms"], "ms", "<= 1", "prompts included"),
            Figure(f"peak memory, {in_flight} in flight", clean["peak_mb"], "MB"),
        ]
        with serve_mock(latency=LATENCY, **FAULTS) as url:
            faulty = run_apart("tests.bench.llm", "drive", url, str(in_flight))
        figures += [
            Figure(f"items lost to faults, {in_flight} in flight", faulty["lost"], "items", "<= 0"),
            Figure(
                f"wall with faults / without, {in_flight} in flight", faulty["seconds"] / clean["seconds"], "x", "<= 3"
            ),
        ]
    return figures


def drive(url: str, in_flight: str) -> dict[str, float]:
    """The workload through our client: seconds, CPU of this process, items lost."""
    sys.path.insert(0, str(KIT))
    kit: Any = __import__("workload")
    config = LlmConfig(
        endpoints={"mock": EndpointConfig(url=url, max_in_flight=int(in_flight))},
        roles={"default": RoleModelConfig(model="mock")},
        prices={"mock": ModelPrice(prompt=1, completion=4)},
    )
    with tempfile.TemporaryDirectory() as folder:
        model = OpenAiChatModel(config, {})
        prices = PriceTable(config.prices)
        budget = Budget(NO_CAP_REACHED, prices, Path(folder) / "spend.jsonl", time.monotonic)
        with JournaledChatModel(BudgetedChatModel(model, budget), Path(folder) / "calls.jsonl", model.describe) as chat:

            async def work(item: int) -> bool:
                said: list[str] = []
                for step, role in enumerate(kit.STEPS):
                    messages = (Message("system", kit.SYSTEM), Message("user", kit.w2_prompt(item, step, said)))
                    try:
                        said.append((await chat.ask(ChatRequest(role, messages))).text)
                    except ModelError:
                        return False
                return bool(kit.ok_text(item, len(kit.STEPS) - 1, said[-1]))

            started, used = time.perf_counter(), time.process_time()
            lost = sum(not right for right in run_concurrently(range(ITEMS), work, int(in_flight), chat))
            seconds, used = time.perf_counter() - started, time.process_time() - used
        calls = sum(row.calls for row in budget.usage())
        budget.close()
    steps = len(kit.STEPS)
    return {"seconds": seconds, "cpu_ms": used / calls * 1000, "lost": lost, "steps": steps, "calls": calls}
