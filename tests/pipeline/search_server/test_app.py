"""What the search server's worker makes of a search that fails."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from collections.abc import Sequence

import pytest

from pipeline.search.engine import FoundPassage, SearchRequest, fail_call
from pipeline.search.queries import make_call
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.http_messages import Request, Response
from pipeline.search_server.metrics import Counters, share_memory
from pipeline.search_server.settings import ServerSettings
from schemas.trajectories import SearchCall


class FaultyEngine:
    """Breaks over `break`, fails to find `fail`."""

    fingerprint = "faulty"

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        if any(request.query == "break" for request in requests):
            raise RuntimeError("broken")
        return [fail_call(r.query, "gone") if r.query == "fail" else make_call(r.query, ()) for r in requests]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return []


def test_a_search_that_fails_makes_no_documents(caplog: pytest.LogCaptureFixture) -> None:
    """Searched on the spot, as a single query is, or in line."""

    async def run() -> list[Response]:
        counters = Counters(share_memory(multiprocessing.get_context("spawn"), 1), 0)
        app = RetrievalApp(FaultyEngine(), ServerSettings(open_engine=FaultyEngine), counters)
        sent: list[Response] = []
        for asked in (["break"], ["a", "break"], ["fail"], ["a", "fail"], ["a"], ["a", "b"]):
            app.answer(Request("POST", "/retrieve", {}, json.dumps({"queries": asked}).encode()), sent.append)
            for _ in range(20):
                await asyncio.sleep(0)
        assert counters.total("in flight") == counters.total("waiting") == 0
        return sent

    replies = asyncio.run(run())
    assert [reply.status for reply in replies] == [500, 500, 502, 502, 200, 200]
    assert b"query 1: gone" in replies[3].body
    assert b"broken" not in replies[0].body + replies[1].body
    assert caplog.text.count("RuntimeError: broken") == 2
