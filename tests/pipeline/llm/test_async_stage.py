"""Asynchronous work inside a synchronous stage: bounded, back-pressured, and stopped cleanly."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.async_stage import run_concurrently
from pipeline.llm.chat_model import (
    AllRefusedError,
    BudgetSpentError,
    EndpointError,
    NoReplyError,
    UnsettledRefusalError,
)
from pipeline.llm.endpoints import METRICS_TIMEOUT
from pipeline.llm.openai_chat_model import OpenAiChatModel
from schemas.llm_config import EndpointConfig, LlmConfig, RoleModelConfig
from tests.support.fault_server import FaultServer
from tests.support.scripted_model import ScriptedModel, make_request


@given(count=st.integers(0, 60), in_flight=st.integers(1, 20))
def test_every_item_has_one_result_and_no_more_are_under_way_than_allowed(count: int, in_flight: int) -> None:
    under_way = most = 0

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return item * item

    results = list(run_concurrently(range(count), work, in_flight))
    assert sorted(results) == [item * item for item in range(count)]
    assert most <= in_flight


def test_slow_consumer_slows_the_source_down() -> None:
    drawn = 0

    def draw() -> Iterator[int]:
        nonlocal drawn
        for item in range(1000):
            drawn += 1
            yield item

    async def work(item: int) -> int:
        return item

    results = run_concurrently(draw(), work, 8)
    for taken in range(1, 50):
        next(results)
        assert drawn <= taken + 8
    results.close()  # type: ignore[attr-defined]  # it is a generator


def test_items_without_a_reply_are_owed_and_the_others_are_done() -> None:
    async def work(item: int) -> int:
        if item % 10 == 3:
            raise NoReplyError("no reply after 8 tries")
        return item

    done: list[int] = []

    def take_all() -> None:
        for result in run_concurrently(range(30), work, 4):
            done.append(result)  # noqa: PERF402 - extend would lose those that come before the error

    with pytest.raises(NoReplyError, match="3 items are unfinished") as caught:
        take_all()
    assert "unanswered=reject" in caught.value.fix
    assert sorted(done) == [item for item in range(30) if item % 10 != 3]


@pytest.mark.parametrize(("items", "in_flight"), [(1, 1), (19, 4), (60, 4), (60, 60)])
def test_items_that_are_all_refused_end_the_run_and_give_no_result(items: int, in_flight: int) -> None:
    asked: list[int] = []

    async def work(item: int) -> int:
        asked.append(item)
        raise UnsettledRefusalError("HTTP 400")

    results: list[int] = []
    with pytest.raises(AllRefusedError, match="HTTP 400"):
        results.extend(run_concurrently(range(items), work, in_flight))
    assert results == []
    assert len(asked) <= 2 * (20 + in_flight)


@given(st.sets(st.integers(0, 59)), st.integers(1, 30))
def test_items_refused_before_the_first_answer_are_worked_on_again(refused: set[int], in_flight: int) -> None:
    answered = False

    async def work(item: int) -> str:
        nonlocal answered
        await asyncio.sleep(0)
        if item in refused:
            if not answered:
                raise UnsettledRefusalError("HTTP 400")
            return "reject"
        answered = True
        return "row"

    if set(range(20 + in_flight)) <= refused:  # what comes after is not looked at
        return
    results = list(run_concurrently(range(60), work, in_flight))
    assert (results.count("reject"), results.count("row")) == (len(refused), 60 - len(refused))


def test_nothing_but_silence_ends_the_run_early() -> None:
    asked = 0

    async def work(item: int) -> int:
        nonlocal asked
        asked += 1
        raise NoReplyError("no reply after 8 tries")

    with pytest.raises(NoReplyError, match="100 items are unfinished"):
        list(run_concurrently(range(10_000), work, 4))
    assert asked <= 110


@pytest.mark.parametrize("error", [EndpointError("wrong key"), BudgetSpentError("cap reached"), ValueError("a bug")])
def test_error_stops_the_run_and_closes_what_it_used(error: Exception) -> None:
    service = ScriptedModel()

    async def work(item: int) -> int:
        if item == 30:
            await asyncio.sleep(0.02)
            raise error
        await asyncio.sleep(60 if item > 30 else 0)
        return item

    threads = threading.active_count()
    with pytest.raises(type(error)):
        list(run_concurrently(range(1000), work, 10, [service]))
    assert (service.stopped, service.closed) == (1, 1)
    assert threading.active_count() == threads


def test_results_done_before_an_error_are_not_lost() -> None:
    async def work(item: int) -> int:
        if item == 5:
            raise EndpointError("wrong key")
        return item

    results: list[int] = []
    with pytest.raises(EndpointError):
        results.extend(run_concurrently(range(6), work, 6))
    assert sorted(results) == [0, 1, 2, 3, 4]


def test_what_is_in_flight_is_given_time_to_end_and_no_more() -> None:
    """The shielded call outlives its cancelled item, within the grace period."""
    model = ScriptedModel(seconds=0.1)
    kept: list[asyncio.Task[object]] = []

    async def work(item: int) -> None:
        if item == 1:
            await asyncio.sleep(0.02)
            raise EndpointError("wrong key")
        for _ in range(2):
            kept.append(asyncio.create_task(model.ask(make_request(f"q{item}"))))
            await asyncio.shield(kept[-1])

    with pytest.raises(EndpointError):
        list(run_concurrently(range(2), work, 2, [model]))
    assert (len(model.asked), model.finished) == (1, 1)
    slow = ScriptedModel(seconds=60)
    model = slow
    with pytest.raises(EndpointError):
        list(run_concurrently(range(2), work, 2, [model], grace=0.05))
    assert (len(slow.asked), slow.finished, slow.closed) == (1, 0, 1)


def test_the_end_waits_for_no_look_at_the_servers_queue() -> None:
    """`/metrics` may take seconds to answer; the last shard's end must not."""
    with FaultServer() as server:
        server.metrics, server.metrics_latency = "", 60.0
        endpoint = EndpointConfig(url=server.url, max_in_flight=4)
        model = OpenAiChatModel(
            LlmConfig(endpoints={"here": endpoint}, roles={"default": RoleModelConfig(model="m")}), {}
        )
        started = time.monotonic()
        results = list(run_concurrently(range(100), lambda item: model.ask(make_request(f"q{item}")), 4, [model]))
        seconds = time.monotonic() - started
    assert len(results) == 100
    assert seconds < METRICS_TIMEOUT, "it was waited for"
