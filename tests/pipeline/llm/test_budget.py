"""The bill: counted by role over processes and sessions, priced by the table, capped cleanly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.llm.budget import Budget, BudgetedChatModel, check_prices
from pipeline.llm.chat_model import BudgetSpentError, RefusedRequestError
from pipeline.llm.prices import PriceTable, pin_prices
from pipeline.llm.usage_log import BusyTime, CallUsage, UsageLog
from pipeline.storage.jsonl import BLOCK
from schemas.llm_config import BudgetConfig, LlmConfig, ModelPrice, RoleModelConfig
from tests.support.scripted_model import ScriptedModel, make_request

PRICES = PriceTable({"scripted": ModelPrice(prompt=1.0, completion=10.0)})
UNCAPPED = BudgetConfig()


def ask(model: BudgetedChatModel, count: int, together: int = 1) -> int:
    """Ask until the budget is spent; the number of replies."""

    async def run() -> int:
        replies = 0
        for _ in range(count // together):
            calls = (model.ask(make_request("q")) for _ in range(together))
            ends = await asyncio.gather(*calls, return_exceptions=True)
            replies += sum(not isinstance(end, BaseException) for end in ends)
            if any(isinstance(end, BudgetSpentError) for end in ends):
                break
        return replies

    return asyncio.run(run())


@pytest.mark.parametrize("together", [1, 8])
def test_caps_on_tokens_and_money_are_not_passed(together: int, tmp_path: Path) -> None:
    """A call is 12 tokens and costs 0.00003."""
    by_tokens = Budget(BudgetConfig(tokens=1000), PRICES, tmp_path / "a", lambda: 0.0)
    assert ask(BudgetedChatModel(ScriptedModel(), by_tokens), 200, together) == 83
    by_money = Budget(BudgetConfig(money=0.001), PRICES, tmp_path / "b", lambda: 0.0)
    assert ask(BudgetedChatModel(ScriptedModel(), by_money), 200, together) == 33


def test_cap_on_hours_counts_one_session(tmp_path: Path) -> None:
    now = 0.0
    budget = Budget(BudgetConfig(hours=1), PRICES, tmp_path / "spend", lambda: now)
    budget.reserve()
    now = 3600.0
    with pytest.raises(BudgetSpentError, match="hours: the cap of 1 hours"):
        budget.reserve()
    Budget(BudgetConfig(hours=1), PRICES, tmp_path / "spend", lambda: now).reserve()
    with pytest.raises(BudgetSpentError, match="hours: the cap of 1 hours"):
        Budget(BudgetConfig(hours=1), PRICES, tmp_path / "spend", lambda: now, started=0.0).reserve()


def test_spending_is_counted_over_sessions_and_processes(tmp_path: Path) -> None:
    path = tmp_path / "spend"
    first, second = (Budget(UNCAPPED, PRICES, path, lambda: 0.0) for _ in range(2))
    assert ask(BudgetedChatModel(ScriptedModel(), first), 3) == 3
    assert ask(BudgetedChatModel(ScriptedModel(), second), 2) == 2
    third = Budget(UNCAPPED, PRICES, path, lambda: 0.0)
    for budget in (first, second, third):
        (row,) = budget.usage()
        assert (row.role, row.model, row.calls, row.prompt_tokens, row.completion_tokens) == (
            "planner",
            "scripted",
            5,
            50,
            10,
        )
        assert row.cost == pytest.approx(5 * 0.00003)


def test_torn_entry_is_left_out_and_the_next_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "spend"
    ask(BudgetedChatModel(ScriptedModel(), Budget(UNCAPPED, PRICES, path, lambda: 0.0)), 2)
    with path.open("ab") as entries:
        entries.write(b'["planner","scri')
    late = Budget(UNCAPPED, PRICES, path, lambda: 0.0)
    ask(BudgetedChatModel(ScriptedModel(), late), 2)
    assert late.usage()[0].calls == 3


def test_calls_without_reply_cost_nothing_and_free_their_room(tmp_path: Path) -> None:
    budget = Budget(BudgetConfig(tokens=30), PRICES, tmp_path / "spend", lambda: 0.0)
    refusing = ScriptedModel(lambda request: RefusedRequestError("context_overflow", "too long"))
    assert ask(BudgetedChatModel(refusing, budget), 10) == 0
    assert ask(BudgetedChatModel(ScriptedModel(), budget), 10) == 2


def test_books_larger_than_a_block_are_read_whole_and_once(tmp_path: Path) -> None:
    books = UsageLog(tmp_path / "books")
    entry = CallUsage("planner", "m" * 1000, 1, 2, 0.5, 3.0, 1.5)
    count = 2 * BLOCK // 1000
    for _ in range(count):
        books.write(entry)
    late = UsageLog(tmp_path / "books")
    assert list(late.read()) == [entry] * count
    assert list(late.read()) == []


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20))))
def test_busy_time_is_the_length_of_the_union(calls: list[tuple[int, int]]) -> None:
    busy = BusyTime()
    for start, length in sorted(calls, key=sum):
        busy.add(start, start + length)
    covered = {second for start, length in calls for second in range(start, start + length)}
    assert busy.seconds == len(covered)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20))))
def test_busy_time_forgets_old_pauses_and_nothing_else(calls: list[tuple[int, int]]) -> None:
    busy, now = BusyTime(), 0
    with mock.patch("pipeline.llm.usage_log.MOST_INTERVALS", 2):
        for pause, length in calls:
            now += pause + length
            busy.add(now - length, now)
            assert len(busy._intervals) < 4
    assert busy.seconds == sum(length for _, length in calls)


def test_busy_time_takes_what_lies_before_the_pauses_it_remembers_as_counted() -> None:
    busy = BusyTime()
    with mock.patch("pipeline.llm.usage_log.MOST_INTERVALS", 2):
        for start in range(0, 40, 10):
            busy.add(start, start + 1)
        busy.add(0, 40)  # up to 11 all is settled: 2 seconds of it
    assert busy.seconds == 2 + (40 - 11)


def test_seconds_of_a_call_are_counted_from_request_to_reply(tmp_path: Path) -> None:
    now = iter(range(0, 1000, 10))
    budget = Budget(UNCAPPED, PRICES, tmp_path / "spend", lambda: float(next(now)))
    ask(BudgetedChatModel(ScriptedModel(), budget), 3)
    assert budget.usage()[0].seconds == 3 * 10
    assert budget.busy_seconds == 3 * 10


def test_own_prices_go_before_the_packaged_table() -> None:
    assert PriceTable({}).cost("gpt-4o-mini-2024-07-18", 1_000_000, 0) == pytest.approx(0.15)
    own = PriceTable({"gpt-4o-*": ModelPrice(prompt=9, completion=9)})
    assert own.cost("gpt-4o-mini", 1_000_000, 0) == pytest.approx(9)
    assert own.cost("a-server-of-mine", 10**9, 10**9) == 0


def test_money_cap_needs_prices() -> None:
    config = LlmConfig(roles={"default": RoleModelConfig(model="mine")}, budget=BudgetConfig(money=1))
    with pytest.raises(ConfigError, match="mine"):
        check_prices(config, ["planner"])
    check_prices(config, [])
    check_prices(config.model_copy(update={"prices": {"min*": ModelPrice(prompt=0, completion=0)}}), ["planner"])


def test_pinned_prices_stay_when_a_table_changes() -> None:
    own = {"mine-*": ModelPrice(prompt=1, completion=2)}
    pinned = pin_prices(own, ["mine-7b", "gpt-4o-mini", "unknown"])
    assert pinned["mine-7b"] == own["mine-*"]
    assert pinned["gpt-4o-mini"] == PriceTable({}).find("gpt-4o-mini")
    assert "unknown" not in pinned
    later = PriceTable(pinned | {"mine-*": ModelPrice(prompt=9, completion=9)})
    assert later.find("mine-7b") == own["mine-*"]
    assert pin_prices(pinned, ["mine-7b", "gpt-4o-mini"]) == pinned
