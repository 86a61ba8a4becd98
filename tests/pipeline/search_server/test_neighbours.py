"""The wires of the field's retrieval clients: each is spoken as its client does, and read as its client reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import Answer, SearchRequest
from pipeline.search.remote.http_source import HttpSource, ServerAbout
from pipeline.search.remote.protocols import PROTOCOLS
from pipeline.search.remote.service import SearchService
from pipeline.search_server.pages import DESCRIBED
from schemas.search_config import HttpProtocol, SearchServiceConfig
from schemas.trajectories import SearchStatus
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import CLIENT, serve_pages, serving, write_index

QUERIES = ["stone bridge", "museum of the north"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("neighbours"), draw_passages(200))


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with serving(serve_pages(index)) as server:
        yield f"http://127.0.0.1:{server.port}"


def ask(url: str, path: str, body: Any) -> Any:
    reply = CLIENT.post(url + path, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture(scope="module")
def found(index: Path) -> list[list[tuple[str, str, str, float]]]:
    """Id, title, text and score of the four best passages of each query."""
    engine = Bm25Engine(index)
    calls = engine.search([SearchRequest(query) for query in QUERIES], 4)
    return [
        [
            (p.passage_id, p.title, p.text, float(hit.score or 0.0))
            for hit, p in zip(call.hits, engine.read([hit.passage_id for hit in call.hits]), strict=True)
        ]
        for call in calls
    ]


def contents(title: str, text: str) -> str:
    return f'"{title}"\n{text}'


def test_research_and_recall(url: str, found: list[list[tuple[str, str, str, float]]]) -> None:
    one = ask(url, "/search", {"query": QUERIES[0], "top_n": 4, "return_score": False})
    assert [item["contents"] for item in one] == [contents(title, text) for _, title, text, _ in found[0]]
    documents, scores = ask(url, "/search", {"query": QUERIES[0], "top_n": 4, "return_score": True})
    assert documents == one
    assert scores == [score for *_, score in found[0]]
    batch = ask(url, "/batch_search", {"query": QUERIES, "top_n": 4, "return_score": False})
    assert [[item["id"] for item in some] for some in batch] == [[row[0] for row in rows] for rows in found]
    lists, batch_scores = ask(url, "/batch_search", {"query": QUERIES, "top_n": 4, "return_score": True})
    assert lists == batch
    assert batch_scores == [[score for *_, score in rows] for rows in found]
    assert ask(url, "/batch_search", {"query": [], "top_n": 4}) == []
    assert CLIENT.get(f"{url}/health").json()["status"] == "ok"


def test_r1_searcher(url: str, found: list[list[tuple[str, str, str, float]]]) -> None:
    reply = ask(url, "/queries", {"queries": QUERIES, "k": 4})
    assert reply["queries"] == QUERIES
    assert reply["answers"] == [[f"{i} {contents(title, text)}" for i, title, text, _ in rows] for rows in found]


def test_asearcher_searches_and_opens_what_it_found(url: str, index: Path) -> None:
    reply = ask(url, "/retrieve", {"queries": QUERIES, "topk": 4, "return_scores": False})
    for documents in reply["result"]:
        urls = [document["url"] for document in documents]
        pages = ask(url, "/access", {"urls": [*urls, "page://99999", "https://example.org/wiki/Nowhere"]})["result"]
        assert pages[-2:] == [None, None]
        for document, page in zip(documents, pages, strict=False):
            assert document["contents"].partition("\n")[2] in page["contents"]


def test_open_researcher_searches_and_opens_what_it_found(url: str) -> None:
    documents = ask(url, "/search", {"query": QUERIES[0], "topn": 3})
    assert len(documents) == 3
    for document in documents:
        assert document["score"] > 0
        for name in ("docid", "url"):
            page = ask(url, "/get_content", {"url": document[name]})
            assert document["text"].partition("\n")[2] in page["content"]
    assert CLIENT.post(f"{url}/get_content", json={"url": "page://99999"}).status_code == 404


def test_clients_of_serper(url: str, found: list[list[tuple[str, str, str, float]]]) -> None:
    organic = ask(url, "/search", {"q": QUERIES[0], "num": 4, "gl": "us", "hl": "en"})["organic"]
    assert [(item["title"], item["snippet"]) for item in organic] == [(title, text) for _, title, text, _ in found[0]]
    assert [item["position"] for item in organic] == [1, 2, 3, 4]
    assert all(ask(url, "/open", {"page": item["link"]})["title"] == item["title"] for item in organic)


def test_a_page_is_read_part_by_part(url: str) -> None:
    texts, cursor = [], 0
    while cursor is not None:
        part = ask(url, "/open", {"page": "Page 7", "cursor": cursor, "max_chars": 1})
        assert part["status"] == "ok"
        assert part["url"] == "page://7"
        texts.append(part["text"])
        cursor = part["next_cursor"]
    assert sorted(texts) == sorted(p.text for p in draw_passages(200) if p.page_id == 7)
    first = texts[0].split()[0]
    matches = ask(url, "/find", {"page": "Page 7", "text": first})
    assert matches["count"] == sum(text.count(first) for text in texts)
    assert ask(url, "/open", {"page": "Page 7", "cursor": 10**6})["status"] == "past_end"
    assert ask(url, "/open", {"page": "Nowhere"})["status"] == "no_page"
    hidden = {"passage_id": "p0028", "page_id": 7}
    assert ask(url, "/open", {"page": "Page 7", "exclude": hidden})["status"] == "no_page"
    assert ask(url, "/access", {"urls": ["page://7"], "exclude": hidden})["result"] == [None]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/search", {}),
        ("/search", {"query": 7, "top_n": 3}),
        ("/search", {"query": ["a", "b"], "top_n": 3}),
        ("/search", {"query": "a", "top_n": 10**6}),
        ("/search", {"q": ["a"]}),
        ("/batch_search", {"query": "a"}),
        ("/batch_search", {"query": ["a", 7]}),
        ("/batch_search", {"queries": ["a"]}),
        ("/queries", {"query": ["a"]}),
        ("/queries", {"queries": ["a", "x" * 20_000]}),
        ("/open", {}),
        ("/open", {"page": 7}),
        ("/open", {"page": "a", "cursor": -1}),
        ("/open", {"page": "a", "max_chars": 10**9}),
        ("/open", {"page": "a" * 3_000}),
        ("/open", {"page": "a", "exclude": {"page_id": 7}}),
        ("/open", {"page": "a", "exclude": {"passage_id": "p", "pageid": 7}}),
        ("/find", {"page": "a"}),
        ("/find", {"page": "a", "text": ""}),
        ("/access", {"urls": "page://7"}),
        ("/access", {"urls": ["page://7"] * 1_000}),
        ("/get_content", {}),
    ],
)
def test_bad_requests_are_refused(url: str, path: str, body: Any) -> None:
    reply = CLIENT.post(url + path, json=body)
    assert reply.status_code == 422
    assert reply.json()["error"]


def test_every_described_example_is_answered(url: str) -> None:
    for path, (_, _, examples) in DESCRIBED.items():
        for body, reply in examples.values():
            answered = CLIENT.post(url + path, json=body)
            assert answered.status_code == (404 if path == "/get_content" else 200), answered.text
            if isinstance(reply, dict) and path not in ("/get_content", "/open", "/find"):
                assert reply.keys() <= answered.json().keys()
            assert isinstance(answered.json(), type(reply))
    paths = CLIENT.get(f"{url}/openapi.json").json()["paths"]
    assert paths.keys() >= DESCRIBED.keys()


@pytest.mark.parametrize("protocol", HttpProtocol)
def test_our_own_client_speaks_every_protocol(
    url: str, found: list[list[tuple[str, str, str, float]]], protocol: HttpProtocol
) -> None:
    """As to a foreign server: without our fields."""

    async def run() -> list[Answer]:
        engine = CLIENT.get(f"{url}/healthz").json()["engine"]
        about = ServerAbout(url + PROTOCOLS[protocol].path, protocol, engine)
        source = HttpSource(SearchService(url, SearchServiceConfig()), about)
        try:
            return await source.find([SearchRequest(query) for query in [*QUERIES, "zzzz"]], 4)
        finally:
            await source.close()

    answers = asyncio.run(run())
    for answer, rows in zip(answers, found, strict=False):
        assert [(p.passage_id, p.title, p.text) for p in answer.passages] == [row[:3] for row in rows]
        if protocol not in (HttpProtocol.ASEARCHER, HttpProtocol.R1_SEARCHER):  # they have no scores
            assert [hit.score for hit in answer.call.hits] == pytest.approx([row[3] for row in rows])
    assert answers[2].call.status is SearchStatus.EMPTY


def test_an_engine_without_pages_says_so(index: Path) -> None:
    from tests.support.search_samples import serve_index

    with serving(serve_index(index)) as server, httpx.Client(trust_env=False) as client:
        reply = client.post(f"http://127.0.0.1:{server.port}/open", json={"page": "Page 7"})
    assert reply.status_code == 404
    assert "pages" in reply.json()["error"]
