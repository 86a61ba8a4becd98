"""How search services are called: deadlines, tries, rates, breakers, quotas; and sources behind URLs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from aiohttp import web

from pipeline.search.engine import Answer, SearchRequest
from pipeline.search.remote.http_source import HttpSource, ServerAbout
from pipeline.search.remote.service import (
    QUOTA,
    FailedCallError,
    HttpRequest,
    SearchService,
    ServiceReply,
    UnreadableSearchReplyError,
)
from schemas.search_config import HttpProtocol, SearchServiceConfig
from schemas.trajectories import HideMode, SearchStatus
from tests.support.scripted_http import Said, ScriptedHttp

T = TypeVar("T")
OK, EMPTY, ERROR, TIMEOUT = SearchStatus.OK, SearchStatus.EMPTY, SearchStatus.ERROR, SearchStatus.TIMEOUT
NOT_THERE = "http://127.0.0.1:9"


def ask(url: str, work: Callable[[Callable[[], Awaitable[bytes]]], Awaitable[T]], **settings: object) -> T:
    """Do some work with a function that makes one call."""

    async def run() -> T:
        service = SearchService("the service", SearchServiceConfig.model_validate({"deadline": 5.0, **settings}))
        try:
            return await work(lambda: service.call(HttpRequest("POST", f"{url}/retrieve", body=b"{}"), read_bytes))
        finally:
            await service.close()

    return asyncio.run(run())


def read_bytes(reply: ServiceReply) -> bytes:
    if reply.content == b"nonsense":
        raise UnreadableSearchReplyError("the reply is nonsense")
    return reply.content


async def once(call: Callable[[], Awaitable[bytes]]) -> bytes:
    return await call()


async def fail(call: Callable[[], Awaitable[bytes]]) -> FailedCallError:
    with pytest.raises(FailedCallError) as failure:
        await call()
    return failure.value


@pytest.mark.parametrize(
    "fault",
    [
        Said(500), Said(503, headers={"retry-after": "0.05"}), Said(429, headers={"retry-after": "0.05"}),
        Said(body=b"0123456789", how="half"), Said(how="reset"), Said(body=b"nonsense"), Said(502, b"<html>"),
    ],
)  # fmt: skip
def test_faults_that_may_pass_cost_a_pause(fault: Said) -> None:
    with ScriptedHttp(lambda request, body, number: fault if number < 2 else Said(body=b"found")) as server:
        assert ask(server.url, once) == b"found"
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("script", "settings", "status", "said", "tries"),
    [
        (Said(500, b"broken"), {}, ERROR, "HTTP 500: broken", 4),
        (Said(body=b"nonsense"), {"tries": 2}, ERROR, "nonsense", 2),
        (Said(400, b"no such field"), {}, ERROR, "no such field", 1),
        (Said(401, b"bad key sk-abcdefghij"), {}, ERROR, "HTTP 401: bad (key)", 1),
        (Said(302, b"", {"location": "http://elsewhere"}), {}, ERROR, "HTTP 302", 1),
        (Said(how="hang"), {"deadline": 2.0, "tries": 2}, TIMEOUT, "no answer in time", 2),
        (Said(429, b"slow", {"retry-after": "60"}), {"deadline": 0.5}, TIMEOUT, "HTTP 429", 1),
        (Said(402, b"pay"), {}, ERROR, QUOTA, 1),
        (Said(429, b"You exceeded your current quota"), {}, ERROR, QUOTA, 1),
    ],
)
def test_what_does_not_pass_is_a_status(
    script: Said, settings: dict[str, object], status: SearchStatus, said: str, tries: int
) -> None:
    with ScriptedHttp(lambda request, body, number: script) as server:
        failure = ask(server.url, fail, **settings)
        assert (failure.status, len(server.asked)) == (status, tries)
        assert said in failure.detail


def test_nobody_there() -> None:
    failure = ask(NOT_THERE, fail, tries=2)
    assert failure.status is ERROR
    assert "no connection" in failure.detail


def test_a_spent_quota_ends_all_asking() -> None:
    async def twice(call: Callable[[], Awaitable[bytes]]) -> list[str]:
        return [(await fail(call)).detail for _ in range(2)]

    with ScriptedHttp(lambda request, body, number: Said(402, b"pay")) as server:
        first, second = ask(server.url, twice)
        assert first == second
        assert len(server.asked) == 1


def test_a_service_that_does_not_answer_is_left_alone_until_a_probe_is_answered() -> None:
    healthy = False

    async def work(call: Callable[[], Awaitable[bytes]]) -> bytes:
        nonlocal healthy
        for _ in range(20):
            await fail(call)
        healthy = True
        refused: list[str] = []
        while True:
            try:
                found = await call()
            except FailedCallError as error:
                refused.append(error.detail)
                await asyncio.sleep(0.05)
            else:
                assert refused
                assert all("does not answer" in detail for detail in refused)
                return found

    with ScriptedHttp(lambda request, body, number: Said(body=b"found") if healthy else Said(500)) as server:
        assert ask(server.url, work, tries=1, give_up=3) == b"found"
        assert len(server.asked) == 4


def test_no_more_in_flight_and_no_more_a_second_than_allowed() -> None:
    async def crowd(call: Callable[[], Awaitable[bytes]]) -> None:
        await asyncio.gather(*(call() for _ in range(12)))

    with ScriptedHttp(lambda request, body, number: Said(how="wait")) as server:
        ask(server.url, crowd, in_flight=3)
        assert server.most_in_flight <= 3
    with ScriptedHttp(lambda request, body, number: Said()) as server:
        ask(server.url, crowd, per_second=40)
        assert server.moments[-1] - server.moments[0] >= 0.2


def find(
    server: ScriptedHttp,
    requests: list[SearchRequest],
    k: int = 3,
    protocol: str = "search-r1",
    engine: str | None = None,
) -> list[Answer]:
    async def run() -> list[Answer]:
        about = ServerAbout(server.url, HttpProtocol(protocol), engine or None)
        service = SearchService(server.url, SearchServiceConfig(deadline=5.0, tries=2))
        source = HttpSource(service, about, "open sesame")
        try:
            return await source.find(requests, k)
        finally:
            await source.close()

    return asyncio.run(run())


def answer_as_search_r1(request: web.Request, body: bytes, number: int) -> Said:
    asked = json.loads(body)
    result = [
        [
            {"document": {"id": f"{q}{i}", "contents": f'"T {q}"\ntext {i}'}, "score": 9.0 - i}
            for i in range(asked["topk"])
        ]
        for q in asked["queries"]
    ]
    return Said(body=json.dumps({"result": result}).encode())


def test_a_foreign_search_r1_server_is_asked_in_its_own_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    requests = [SearchRequest(f"q{i}", HideMode.PASSAGE, "p") for i in range(70)]
    with ScriptedHttp(answer_as_search_r1) as server:
        answers = find(server, [SearchRequest(""), *requests, SearchRequest("x" * 50_000)])
    assert [set(json.loads(body)) for body in server.asked] == [{"queries", "topk", "return_scores"}] * 3
    assert {headers["authorization"] for headers in server.headers} == {"Bearer open sesame"}
    assert "sesame" not in caplog.text
    assert [answer.call.status for answer in answers] == [EMPTY, *[OK] * 70, ERROR]
    assert [hit.passage_id for hit in answers[7].call.hits] == ["q60", "q61", "q62"]
    assert [(p.title, p.text) for p in answers[7].passages] == [("T q6", f"text {i}") for i in range(3)]


def test_zerosearchs_server_is_asked_query_by_query() -> None:
    def script(request: web.Request, body: bytes, number: int) -> Said:
        return Said(body=json.dumps([{"text": json.loads(body)["query"] + " text"}]).encode())

    with ScriptedHttp(script) as server:
        answers = find(server, [SearchRequest("a"), SearchRequest("b")], protocol="zerosearch")
        assert [json.loads(body) for body in server.asked] == [{"query": q, "top_k": 3} for q in ("a", "b")]
    assert [answer.passages[0].text for answer in answers] == ["a text", "b text"]
    assert answers[0].call.hits[0].passage_id != answers[1].call.hits[0].passage_id


@pytest.mark.parametrize(
    "reply",
    [
        b"<html>busy</html>", b"", b"[]", b"{}", b'{"result": []}', b'{"result": [7]}', b'{"result": [[7]]}',
        b'{"result": [[{"document": {"id": "x"}}]]}', b'{"result": {"0": []}}', b'{"error": "out of memory"}',
        b'{"result": [[{"document": {"id": "x", "text": 7, "contents": null}, "score": 1}]]}',
        b'{"result": [[{"document": {"id": "x", "text": "t", "anchors": 7}, "score": 1}]]}',
    ],
)  # fmt: skip
def test_replies_that_make_no_sense_are_statuses(reply: bytes) -> None:
    with ScriptedHttp(lambda request, body, number: Said(body=reply)) as server:
        (answer,) = find(server, [SearchRequest("q")])
    assert answer.call.status is ERROR
    assert answer.call.detail
    assert not answer.call.hits


def always(reply: bytes) -> Callable[[web.Request, bytes, int], Said]:
    return lambda request, body, number: Said(body=reply)


@pytest.mark.parametrize(
    ("protocol", "replies"),
    [
        (
            "research",
            [b"[]", b"{}", b"[[1]]", b'[[{"contents": "a"}], [[1, 2]]]', b'[[[{"contents": "a"}]], [[1, 2]]]'],
        ),
        ("r1-searcher", [b"[]", b"{}", b'{"answers": []}', b'{"answers": [7]}', b'{"answers": [[7]]}']),
        ("open-researcher", [b"{}", b"[7]", b'[{"docid": "a"}]', b'"text"']),
        ("skyrl", [b"[]", b'{"result": []}', b'{"result": [7]}']),
        ("asearcher", [b"[]", b'{"result": []}', b'{"result": [[{"url": "u"}]]}']),
    ],
)
def test_replies_that_make_no_sense_are_statuses_in_every_protocol(protocol: str, replies: list[bytes]) -> None:
    for reply in replies:
        with ScriptedHttp(always(reply)) as server:
            (answer,) = find(server, [SearchRequest("q")], protocol=protocol)
        assert answer.call.status is ERROR, reply
        assert not answer.call.hits


def test_odd_documents_are_read() -> None:
    documents: list[Any] = [
        {"document": {"id": 7, "contents": "one line"}, "score": "high"},
        {"document": {"id": 7, "contents": "again"}, "score": 1},
        {"docid": "d", "title": None, "text": "text"},
        {"id": "e", "contents": "Title\nlines\nmore"},
    ]
    with ScriptedHttp(lambda r, b, n: Said(body=json.dumps({"result": [documents]}).encode())) as server:
        (answer,) = find(server, [SearchRequest("q")], k=4)
    assert [(p.passage_id, p.title, p.text) for p in answer.passages] == [
        ("7", "", "one line"), ("d", "", "text"), ("e", "Title", "lines\nmore"),
    ]  # fmt: skip
    assert all((hit.score or 0.0) > 0 for hit in answer.call.hits)


def test_a_server_whose_index_was_changed_is_not_believed() -> None:
    with ScriptedHttp(answer_as_search_r1) as server:
        (answer,) = find(server, [SearchRequest("q")], engine="the old index")
        assert len(server.asked) == 1
    assert answer.call.status is ERROR
    assert "another index" in (answer.call.detail or "")
