"""What the search server's worker answers: searches that fail, tokens, bodies."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message

from pipeline.search.engine import FoundPassage, SearchRequest, fail_call, make_call
from pipeline.search_server.app import RetrievalApp
from pipeline.search_server.metrics import Metrics
from pipeline.search_server.settings import ServerSettings
from schemas.trajectories import SearchCall
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import write_index


class FaultyEngine:
    """Breaks over `break`, fails to find `fail`."""

    fingerprint = "faulty"

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        if any(request.query == "break" for request in requests):
            raise RuntimeError("broken")
        return [fail_call(r.query, "gone") if r.query == "fail" else make_call(r.query, ()) for r in requests]

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return []


def make_app(registry: CollectorRegistry, **settings: Any) -> RetrievalApp:
    settings = {"open_engine": FaultyEngine, **settings}
    return RetrievalApp(FaultyEngine(), ServerSettings(**settings), Metrics(registry), registry)


async def post(app: RetrievalApp, content: bytes, path: str = "/retrieve") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://h") as client:
        return await client.post(path, content=content)


def test_a_search_that_fails_makes_no_documents(caplog: pytest.LogCaptureFixture) -> None:
    """Searched on the spot, as a single query is, or in line."""

    async def run() -> list[httpx.Response]:
        app = make_app(CollectorRegistry())
        asked = (["break"], ["a", "break"], ["fail"], ["a", "fail"], ["a"], ["a", "b"])
        replies = [await post(app, json.dumps({"queries": queries}).encode()) for queries in asked]
        assert app.waiting == 0
        return replies

    replies = asyncio.run(run())
    assert [reply.status_code for reply in replies] == [500, 500, 502, 502, 200, 200]
    assert "query 1: gone" in replies[3].json()["error"]
    assert b"broken" not in replies[0].content + replies[1].content
    assert caplog.text.count("RuntimeError: broken") == 2


def test_requests_are_counted() -> None:
    async def run() -> None:
        app = make_app(registry)
        for content in (b'{"queries": ["a", ""]}', b"[", b'{"queries": ["fail"]}'):
            await post(app, content)
        await post(app, b"", "/nowhere")

    registry = CollectorRegistry()
    asyncio.run(run())
    codes = {
        code: registry.get_sample_value("rampforge_search_requests_total", {"code": code})
        for code in ("200", "400", "404", "502")
    }
    assert codes == {"200": 1, "400": 1, "404": 1, "502": 1}
    assert registry.get_sample_value("rampforge_search_queries_total", {"status": "refused"}) == 1
    assert registry.get_sample_value("rampforge_search_request_seconds_count") == 1


async def stream(app: RetrievalApp, path: str, pieces: int) -> tuple[int, int]:
    """Post a body in pieces of 25 bytes; the status, and how many pieces were read before it."""
    sent: list[Message] = []
    read = 0

    async def receive() -> Message:
        nonlocal read
        read += not sent
        pieces_left.pop()
        return {"type": "http.request", "body": b"x" * 25, "more_body": bool(pieces_left)}

    async def send(message: Message) -> None:
        sent.append(message)

    pieces_left = [*range(pieces)]
    await app({"type": "http", "method": "POST", "raw_path": path.encode(), "path": path, "headers": []}, receive, send)
    return sent[0]["status"], read


@pytest.mark.parametrize(("path", "settings", "status"), [
    ("/retrieve", {"token": "open"}, 401),
    ("/t/shut/retrieve", {"token": "open"}, 401),
    ("/nowhere", {}, 404),
    ("/healthz", {"token": "open"}, 405),
])  # fmt: skip
def test_no_body_is_read_that_is_not_wanted(path: str, settings: dict[str, Any], status: int) -> None:
    assert asyncio.run(stream(make_app(CollectorRegistry(), **settings), path, 1000)) == (status, 0)


@pytest.mark.parametrize(("pieces", "status", "read"), [(4, 400, 4), (5, 413, 5), (1000, 413, 5)])
def test_no_more_of_a_body_is_read_than_is_allowed(pieces: int, status: int, read: int) -> None:
    assert asyncio.run(stream(make_app(CollectorRegistry(), max_body=100), "/retrieve", pieces)) == (status, read)


def test_pages_are_read_one_request_at_a_time_and_few_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many readers of long pages would take the core from the searches."""
    go, reading, most = threading.Event(), [0], [0]

    def answer(*_: Any) -> dict[str, Any]:
        reading[0] += 1
        most[0] = max(most[0], reading[0])
        go.wait(10)
        reading[0] -= 1
        return {}

    async def run() -> list[int]:
        app = make_app(CollectorRegistry(), index=write_index(tmp_path, draw_passages(8)), queue=3)
        asked = [asyncio.create_task(post(app, b"{}", "/open")) for _ in range(7)]
        done, waiting = await asyncio.wait(asked, timeout=0.5)
        assert {task.result().status_code for task in done} == {503}
        assert len(waiting) == 3
        assert (await post(app, json.dumps({"queries": ["a"]}).encode())).status_code == 200
        go.set()
        replies = [*await asyncio.gather(*waiting), await post(app, b"{}", "/open")]
        return [reply.status_code for reply in replies]

    monkeypatch.setattr("pipeline.search_server.app.answer_page_request", answer)
    assert asyncio.run(run()) == [200] * 4
    assert most == [1]
