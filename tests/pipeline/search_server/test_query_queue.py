"""The line before an engine: who is searched for at once, who waits, and what each is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.search.engine import FoundPassage, SearchRequest, make_call
from pipeline.search_server.query_queue import TURN_SECONDS, Outcome, QueryQueue, QueueFullError
from schemas.trajectories import SearchCall


class Engine:
    """Notes what it is asked; refuses `bad`."""

    fingerprint = "noting"

    def __init__(self, search: Callable[[], None] = lambda: None) -> None:
        self.asked: list[list[str]] = []
        self._search = search

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        self._search()
        queries = [request.query for request in requests]
        self.asked.append(queries)
        if "bad" in queries:
            raise ValueError("bad")
        return [make_call(query, ()) for query in queries]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return []


def ask(queue: QueryQueue, queries: Sequence[str], told: list[Outcome], k: int = 3) -> None:
    """Ask; what is found at once and what is told later end in the same list."""
    try:
        calls = queue.search([SearchRequest(query) for query in queries], k, told.append)
    except (ValueError, QueueFullError) as error:
        told.append(error)
    else:
        told += [] if calls is None else [calls]


def read_answers(told: Sequence[Outcome]) -> list[list[str] | str]:
    return [str(found) if isinstance(found, Exception) else [call.query for call in found] for found in told]


async def let_work(queue: QueryQueue) -> None:
    for _ in range(1000):
        await asyncio.sleep(0)
    assert queue.waiting == 0


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.lists(st.sampled_from(["a", "b", "c", "bad"]), max_size=5), st.integers(1, 2)), max_size=12),
    st.integers(1, 4),
    st.booleans(),
)
def test_each_request_is_told_of_its_own_queries_once(
    asked: list[tuple[list[str], int]], gather: int, slow: bool
) -> None:
    async def run() -> None:
        now = [0.0]

        def pass_time() -> None:
            now[0] += 2 * TURN_SECONDS if slow else 0.0

        queue, answers = QueryQueue(Engine(pass_time), 1000, gather, lambda: now[0]), [list[Outcome]() for _ in asked]
        for (queries, k), told in zip(asked, answers, strict=True):
            ask(queue, queries, told, k)
        await let_work(queue)
        for (queries, _), told in zip(asked, answers, strict=True):
            (answer,) = read_answers(told)
            assert answer == queries or (answer == "bad" and (gather > 1 or "bad" in queries))

    asyncio.run(run())


def test_only_half_a_millisecond_goes_into_searches_on_the_spot() -> None:
    async def run() -> None:
        now, told = [0.0], list[Outcome]()

        def pass_time() -> None:
            now[0] += TURN_SECONDS * 0.4

        queue = QueryQueue(Engine(pass_time), 1000, clock=lambda: now[0])
        for name in "abcde":
            ask(queue, [name], told)
        assert (read_answers(told), queue.waiting) == ([["a"], ["b"], ["c"]], 2)
        await asyncio.sleep(0)
        assert read_answers(told) == [[name] for name in "abcde"]
        ask(queue, ["f"], told)
        assert read_answers(told)[-1] == ["f"]
        await let_work(queue)

    asyncio.run(run())


def test_the_loop_has_its_turn_after_each_long_search_and_nobody_is_passed_by() -> None:
    async def run() -> None:
        now, told = [0.0], list[Outcome]()

        def pass_time() -> None:
            now[0] += 1.0

        engine = Engine(pass_time)
        queue = QueryQueue(engine, 1000, clock=lambda: now[0])
        ask(queue, ["a", "b", "c"], told)
        for turn in (1, 2, 3):
            await asyncio.sleep(0)
            assert len(engine.asked) == turn
            ask(queue, [f"late {turn}"], told)
        await let_work(queue)
        assert read_answers(told)[0] == ["a", "b", "c"]
        assert engine.asked == [["a"], ["b"], ["c"], ["late 1"], ["late 2"], ["late 3"]]

    asyncio.run(run())


def test_a_full_line_refuses_but_takes_any_single_request() -> None:
    async def run() -> None:
        told: list[Outcome] = []
        queue = QueryQueue(Engine(), 4)
        ask(queue, ["a"] * 9, told)
        assert (told, queue.waiting) == ([], 9)
        with pytest.raises(QueueFullError):
            queue.search([SearchRequest("b")], 3, told.append)
        await let_work(queue)
        assert read_answers(told) == [["a"] * 9]

    asyncio.run(run())


def test_who_asks_again_when_told_waits_for_the_next_turn() -> None:
    async def run() -> None:
        told: list[Outcome] = []
        queue = QueryQueue(Engine(), 100)

        def ask_again(found: Outcome) -> None:
            told.append(found)
            ask(queue, ["c", "d"], told)

        queue.search([SearchRequest("a"), SearchRequest("b")], 3, ask_again)
        await let_work(queue)
        assert read_answers(told) == [["a", "b"], ["c", "d"]]

    asyncio.run(run())
