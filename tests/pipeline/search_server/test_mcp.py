"""The Model Context Protocol, spoken by the official client in both of its generations, over HTTP and stdio."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import SearchRequest
from pipeline.storage.ledger_files import encode_record
from schemas.config import RunConfig
from tests.pipeline.agents.test_extractive import make_task
from tests.pipeline.search_server.test_task_sources import SECRETS, draw_corpus, list_sources
from tests.support.export_samples import make_record, write_run
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import CLIENT, serve_pages, serving, write_index

MODES = ("legacy", "2026-07-28")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("mcp"), draw_passages(200))


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with serving(serve_pages(index, workers=2)) as server:
        yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def hiding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    index = write_index(tmp_path_factory.mktemp("hiding"), draw_corpus())
    with serving(replace(serve_pages(index, workers=2), open_sources=list_sources)) as server:
        yield f"http://127.0.0.1:{server.port}"


def connect(url: str, mode: Any, **headers: str) -> AbstractAsyncContextManager[Any]:
    http = httpx2.AsyncClient(headers=headers, trust_env=False)
    return open_client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode)


def open_client(server: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
    return Client(server, **options)


def call(url: str, mode: str, tool: str, arguments: dict[str, Any], **headers: str) -> Any:
    async def run() -> Any:
        async with connect(url, mode, **headers) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", MODES)
def test_search_open_find_and_fetch(url: str, index: Path, mode: str) -> None:
    engine = Bm25Engine(index)

    async def run() -> None:
        async with connect(url, mode) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools.keys() == {"search", "open", "find", "fetch"}
            assert all(tool.description and tool.output_schema for tool in tools.values())
            assert "context" not in json.dumps(tools["search"].input_schema)
            found = (await client.call_tool("search", {"query": "stone bridge", "k": 4})).structured_content["results"]
            (expected,) = engine.search([SearchRequest("stone bridge")], 4)
            assert [document["id"] for document in found] == [hit.passage_id for hit in expected.hits]
            for document in found:
                page = (await client.call_tool("fetch", {"id": document["id"]})).structured_content
                assert document["text"] in page["text"]
                part = (await client.call_tool("open", {"page": document["url"]})).structured_content
                assert (part["status"], part["text"]) == ("ok", page["text"])
                begun = (await client.call_tool("open", {"page": document["id"]})).structured_content
                assert begun["text"].startswith(document["text"])
                word = document["text"].split()[0]
                places = (await client.call_tool("find", {"page": document["title"], "text": word})).structured_content
                assert places["count"] == page["text"].count(word)
            result = await client.call_tool("search", {"query": "zzzz"})
            assert result.structured_content == {"results": []}
            assert result.content[0].text == '{"results":[]}'

    asyncio.run(run())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("search", {}),
        ("search", {"query": 7}),
        ("search", {"query": "x" * 20_000}),
        ("search", {"query": "a", "k": 0}),
        ("search", {"query": "a", "k": 10**9}),
        ("open", {"page": "a", "cursor": -1}),
        ("open", {"page": "a", "max_chars": 10**9}),
        ("find", {"page": "a", "text": ""}),
        ("fetch", {"id": "nowhere"}),
        ("nothing", {}),
    ],
)
def test_bad_calls_are_errors_that_a_model_can_read(url: str, mode: str, tool: str, arguments: dict[str, Any]) -> None:
    result = call(url, mode, tool, arguments)
    assert result.is_error
    assert result.content[0].text


@pytest.mark.parametrize("mode", MODES)
def test_statuses_are_results(url: str, mode: str) -> None:
    assert call(url, mode, "open", {"page": "Nowhere"}).structured_content["status"] == "no_page"
    assert call(url, mode, "open", {"page": "Page 7", "cursor": 10**6}).structured_content["status"] == "past_end"
    assert call(url, mode, "find", {"page": "Page 7", "text": "zzzz"}).structured_content["status"] == "no_match"


@pytest.mark.parametrize("mode", MODES)
def test_the_source_of_a_task_is_hidden_from_its_calls(hiding: str, mode: str) -> None:
    for task, (page, passage) in {"t-passage": (2, "p0008"), "t-page": (5, "p0020")}.items():
        other, secret = next(name for name in SECRETS if name != task), SECRETS[task]
        calls: list[tuple[str, dict[str, Any]]] = [("search", {"query": secret, "k": 50})]
        for name in (f"Page {page}", f"PAGE_{page}", f"page://{page}", str(page), passage):
            calls += [("open", {"page": name}), ("fetch", {"id": name}), ("find", {"page": name, "text": secret})]

        async def run(named: str, calls: list[tuple[str, dict[str, Any]]] = calls) -> list[str]:
            async with connect(hiding, mode, **{"x-rampforge-task": named}) as client:
                return [(await client.call_tool(*one)).content[0].text for one in calls]

        assert not [text for text in asyncio.run(run(task)) if secret in text]
        assert len([text for text in asyncio.run(run(other)) if secret in text]) > 10


@pytest.mark.parametrize("mode", MODES)
def test_a_call_without_one_known_task_is_an_error(hiding: str, mode: str) -> None:
    assert call(hiding, mode, "search", {"query": "stone"}).is_error
    assert call(hiding, mode, "search", {"query": "stone"}, **{"x-rampforge-task": "unknown"}).is_error
    assert not call(hiding, mode, "search", {"query": "stone"}, **{"x-rampforge-task": "t-page"}).is_error


@pytest.mark.parametrize("mode", MODES)
def test_a_task_whose_source_is_not_in_the_index_is_an_error(tmp_path: Path, mode: str) -> None:
    settings = replace(serve_pages(write_index(tmp_path, draw_passages(20))), open_sources=list_sources)
    with serving(settings) as server:
        url = f"http://127.0.0.1:{server.port}"
        for tool, arguments in (("search", {"query": "stone"}), ("open", {"page": "Page 1"}), ("fetch", {"id": "1"})):
            result = call(url, mode, tool, arguments, **{"x-rampforge-task": "t-page"})
            assert result.is_error
            assert "not in the index" in result.content[0].text


def test_a_task_in_the_url_or_in_the_call(hiding: str) -> None:
    async def run() -> list[bool]:
        async with open_client(f"{hiding}/mcp?task=t-page") as client:
            named = await client.call_tool("search", {"query": "quixotic"})
            both = await client.call_tool("search", {"query": "a"}, meta={"rampforge/task": "t-passage"})
        async with open_client(f"{hiding}/mcp") as client:
            meta = await client.call_tool("search", {"query": "quixotic"}, meta={"rampforge/task": "t-page"})
        assert named.structured_content == meta.structured_content
        assert "quixotic" not in named.content[0].text
        return [named.is_error, both.is_error, meta.is_error]

    assert asyncio.run(run()) == [False, True, False]


def test_foreign_hosts_and_origins_are_refused(url: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    accept = {"accept": "application/json, text/event-stream"}
    for headers, status in (({"host": "evil.example"}, 421), ({"origin": "http://evil.example"}, 403)):
        assert CLIENT.post(f"{url}/mcp", json=body, headers=accept | headers).status_code == status
    assert CLIENT.post(f"{url}/mcp", json=body, headers=accept).status_code not in (307, 421, 403)


def test_the_token_stands_before_the_protocol(index: Path) -> None:
    settings = replace(serve_pages(index), token="sesame")  # noqa: S106 - made up
    with serving(settings) as server, httpx.Client(trust_env=False) as client:
        base = f"http://127.0.0.1:{server.port}"
        assert client.post(f"{base}/mcp", json={}).status_code == 401
        found = call(base, "legacy", "search", {"query": "stone"}, authorization="Bearer sesame")
        assert found.structured_content["results"]

        async def by_path() -> Any:
            async with open_client(f"{base}/t/sesame/mcp") as connected:
                return await connected.call_tool("search", {"query": "stone"})

        assert asyncio.run(by_path()).structured_content == found.structured_content


def test_over_stdio_a_process_serves_one_task(tmp_path: Path) -> None:
    write_index(tmp_path, draw_corpus())
    source = next(p for p in draw_corpus() if p.passage_id == "p0020")
    task = make_task(source.text, ["quixotic"], source.passage_id, source.page_id)
    write_run(tmp_path, [[task]])
    (tmp_path / "run.json").write_bytes(encode_record(make_record(config=RunConfig().model_dump(mode="json"))))
    command = ["-m", "rampforge", "search", "mcp", str(tmp_path)]

    async def ask(*words: str, meta: dict[str, Any] | None = None) -> Any:
        variables = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
        server = StdioServerParameters(command=sys.executable, args=[*command, *words], env=variables)
        async with open_client(stdio_client(server)) as client:
            return await client.call_tool("search", {"query": "stone quixotic"}, meta=meta)

    everything = asyncio.run(ask())
    assert "quixotic" in everything.content[0].text
    hidden = asyncio.run(ask("--hide", "page", "--task", task.task_id))
    assert hidden.structured_content["results"]
    assert "quixotic" not in hidden.content[0].text
    named = asyncio.run(ask("--hide", "page", meta={"rampforge/task": task.task_id}))
    assert named.structured_content == hidden.structured_content
    assert asyncio.run(ask("--hide", "page")).is_error
