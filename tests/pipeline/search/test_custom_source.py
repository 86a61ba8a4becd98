"""A search function of the user: what it returns, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.search.cache import CachedSearch
from pipeline.search.custom_source import CustomSource
from pipeline.search.engine import FoundPassage, SearchRequest
from schemas.search_config import SearchServiceConfig
from schemas.trajectories import SearchCall, SearchStatus

SERVICE = SearchServiceConfig(deadline=0.2)


def ask(search: Any, *queries: str, k: int = 2) -> tuple[list[SearchCall], list[FoundPassage]]:
    async def work() -> tuple[list[SearchCall], list[FoundPassage]]:
        engine = CachedSearch(CustomSource(search, "my:open sha256 0", SERVICE))
        calls = await engine.search([SearchRequest(query) for query in queries], k)
        return calls, await engine.read([hit.passage_id for call in calls for hit in call.hits])

    return asyncio.run(work())


def echo(query: str, k: int) -> list[dict[str, Any]]:
    return [{"id": f"{query}-{rank}", "title": query, "text": f"text {rank}", "score": -rank} for rank in range(9)]


async def echo_later(query: str, k: int) -> list[dict[str, Any]]:
    await asyncio.sleep(0.01)
    return echo(query, k)


@pytest.mark.parametrize("search", [echo, echo_later])
def test_hits_are_cut_and_read_back(search: Any) -> None:
    (one, other), passages = ask(search, "a", "b")
    assert [(hit.passage_id, hit.score) for hit in one.hits] == [("a-0", 0), ("a-1", -1)]
    assert [hit.passage_id for hit in other.hits] == ["b-0", "b-1"]
    assert passages[1] == FoundPassage("a-1", "a", "text 1")


def test_hits_without_id_and_score_are_ranked() -> None:
    (call,), _ = ask(lambda query, k: [{"title": "t", "text": "one"}, {"title": "t", "text": "two"}], "q")
    assert [hit.score for hit in call.hits] == [1, 0.5]
    assert len({hit.passage_id for hit in call.hits}) == 2


@pytest.mark.parametrize("returned", [None, 3, [{}], [{"title": "t"}], [{"title": "t", "text": 1}], ["text"]])
def test_what_is_not_a_hit_is_an_error(returned: Any) -> None:
    (call, good), _ = ask(lambda query, k: returned if query == "bad" else echo(query, k), "bad", "good")
    assert (call.status, good.status) == (SearchStatus.ERROR, SearchStatus.OK)


def test_failures_and_time_limits_are_statuses() -> None:
    async def hang(query: str, k: int) -> list[dict[str, Any]]:
        if query == "raise":
            raise RuntimeError("no index")
        await asyncio.sleep(9 if query == "hang" else 0)
        return []

    calls, _ = ask(hang, "raise", "hang", "none", " ")
    assert [call.status.value for call in calls] == ["error", "timeout", "empty", "empty"]
    assert calls[0].detail == "RuntimeError: no index"


def test_a_plain_function_is_called_by_one_thread_at_a_time() -> None:
    running = most = 0

    def search(query: str, k: int) -> list[dict[str, Any]]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.01)
        running -= 1
        return []

    ask(search, *"abcdef")
    assert most == 1


def test_what_it_searches_is_part_of_its_fingerprint() -> None:
    class Engine:
        def __init__(self, fingerprint: str) -> None:
            self.fingerprint = fingerprint

        def __call__(self, query: str, k: int) -> list[dict[str, Any]]:
            return []

    one, other = (CustomSource(Engine(name), "my:open", SERVICE).fingerprint for name in ("one", "other"))
    assert one != other
    with pytest.raises(ConfigError, match="not a function"):
        CustomSource(3, "my:open", SERVICE)
