"""The protocol of the search server: the shapes it speaks, and what it makes of bad requests and bad queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import SearchRequest
from schemas.trajectories import HideMode
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import post, serve_index, serving, write_index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("protocol"), draw_passages(200))


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with serving(serve_index(index)) as server:
        yield f"http://127.0.0.1:{server.port}"


def test_search_r1s_shape(url: str, index: Path) -> None:
    engine, queries = Bm25Engine(index), ["stone bridge", "zzzz", "museum of the north"]
    reply = post(url, {"queries": queries, "topk": 4, "return_scores": True})
    calls = engine.search([SearchRequest(query) for query in queries], 4)
    assert reply.status_code == 200
    assert list(reply.json()) == ["result"]
    assert reply.json()["result"] == [
        [
            {
                "document": {
                    "id": hit.passage_id,
                    "contents": f'"{p.title}"\n{p.text}',
                    "url": f"page://{p.page_id}",
                },
                "score": hit.score,
            }
            for hit, p in zip(call.hits, engine.read([hit.passage_id for hit in call.hits]), strict=True)
        ]
        for call in calls
    ]
    plain = post(url, {"queries": queries, "topk": 4}).json()["result"]
    assert plain == [[item["document"] for item in some] for some in reply.json()["result"]]
    assert [len(some) for some in post(url, {"queries": queries}).json()["result"]] == [3, 0, 3]
    assert post(url, {"queries": []}).json() == {"result": []}


def test_a_client_as_search_r1_has_it(url: str) -> None:
    """`requests.post(url, json=payload)`, and what its generation loop does with the reply."""
    requests = pytest.importorskip("requests")
    payload = {"queries": ["stone bridge", "king of the north"], "topk": 3, "return_scores": True}
    response = requests.post(f"{url}/retrieve", json=payload)
    response.raise_for_status()
    for documents in response.json()["result"]:
        for item in documents:
            title, _, text = item["document"]["contents"].partition("\n")
            assert title.strip('"').startswith("Page ")
            assert text
            assert item["score"] > 0


def test_zerosearchs_shape(url: str) -> None:
    documents = post(url, {"query": "stone bridge", "top_k": 2}).json()
    assert [list(document) for document in documents] == [["id", "title", "text", "score"]] * 2
    assert post(url, {"query": "zzzz"}).json() == []
    assert len(post(url, {"query": "stone"}).json()) == 3


def test_hiding_and_details(url: str, index: Path) -> None:
    engine = Bm25Engine(index)
    source = engine.read(["p0040"])[0]
    exclude: list[Any] = [None, {"passage_id": "p0040"}, {"passage_id": "p0040", "page_id": 10}]
    reply = post(url, {"queries": [source.text] * 3, "topk": 5, "exclude": exclude, "details": True}).json()
    modes = (HideMode.NONE, HideMode.PASSAGE, HideMode.PAGE)
    calls = engine.search([SearchRequest(source.text, mode, "p0040", 10) for mode in modes], 5)
    assert [[d["id"] for d in some] for some in reply["result"]] == [[h.passage_id for h in c.hits] for c in calls]
    assert reply["statuses"] == [{"status": "ok", "detail": None}] * 3
    first = reply["result"][0][0]
    assert (first["title"], first["text"], first["anchors"]) == (source.title, source.text, [[0, 5]])


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 400, "not JSON"),
        (b'{"queries": ["x"', 400, "not JSON"),
        (b'{"queries": ["\\ud800"], "topk": NaN}', 400, "not JSON"),
        (b'{"queries": ["\\ud800"}', 400, "not JSON"),
        (b'{"queries": ["\\ud800' + b"[" * 100_000, 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        ([1], 422, "object with `queries`"),
        ({}, 422, "object with `queries`"),
        ({"queries": ["x"], "query": "x"}, 422, "object with `queries`"),
        ({"queries": "x"}, 422, "queries"),
        ({"query": None}, 422, "object with `queries`"),
        ({"queries": ["x"], "topk": 10**6}, 422, "topk"),
        ({"queries": ["x"], "topk": -1}, 422, "topk"),
        ({"queries": ["x"], "exclude": [{"passage_id": "p", "pageid": 7}]}, 422, "exclude.0.pageid"),
        ({"queries": ["x"] * 10_000}, 422, "queries"),
        ({"queries": ["x"], "exclude": []}, 200, ""),
        ({"queries": ["x", "y"], "exclude": [None]}, 422, "1 in `exclude`"),
        ({"query": "x", "top_k": -1}, 422, "top_k"),
        ({"query": "x" * 50_000}, 422, "query"),
        ({"query": ""}, 200, ""),
    ],
)
def test_bad_requests_are_told_what_is_wrong(url: str, content: Any, status: int, said: str) -> None:
    reply = post(url, content)
    assert reply.status_code == status, reply.text
    assert said in reply.json()["error"] if said else "error" not in reply.json()


def test_empty_and_odd_queries_find_nothing(url: str) -> None:
    reply = post(url, {"queries": ["the of", "\x00", "🎈", "x" * 10_000]})
    assert reply.json() == {"result": [[]] * 4}


@pytest.mark.parametrize(
    ("bad", "why", "status"),
    [
        ("x" * 50_000, "50,000", "error"), ("\ud83d", "surrogate", "error"), ("stone \udc00", "surrogate", "error"),
        (7, "a number", "error"), (None, "null", "error"), (["stone"], "a list", "error"), (True, "a boolean", "error"),
        ({"stone": 1}, "an object", "error"), ("", "empty", "empty"), (" \n", "empty", "empty"),
    ],
)  # fmt: skip
def test_a_bad_query_costs_only_itself(url: str, bad: Any, why: str, status: str) -> None:
    good = post(url, {"queries": ["stone bridge", "museum"]}).json()["result"]
    asked = {"queries": ["stone bridge", bad, "museum"], "exclude": [None, {"passage_id": "p0001"}, None]}
    reply = post(url, asked)
    assert reply.status_code == 200
    assert reply.json()["result"] == [good[0], [], good[1]]
    assert [error is None for error in reply.json()["errors"]] == [True, False, True]
    assert why in reply.json()["errors"][1]
    detailed = post(url, asked | {"details": True}).json()
    assert [one["status"] for one in detailed["statuses"]] == ["ok", status, "ok"]
    alone = post(url, {"query": bad, "topk": 2}) if bad is not None else post(url, {"queries": [bad]})
    assert alone.json()["result"] == [[]]
    assert why in alone.json()["errors"][0]


def test_skyrls_shape(url: str) -> None:
    """`query` with `topk`: what SkyRL's environment and other clients of Search-R1's servers send, odd fields too."""
    (want,) = post(url, {"queries": ["stone bridge"], "topk": 2, "return_scores": True}).json()["result"]
    for more in ({"topk": 2}, {"topk": 2, "timeout": 30, "model": None}, {"top_k": 2}, {"k": 2}):
        reply = post(url, {"query": "stone bridge", "return_scores": True, **more})
        assert reply.json() == {"result": [want]}
    assert post(url, {"query": "stone bridge", "topk": 2}).json() == {"result": [[item["document"] for item in want]]}
    assert len(post(url, {"query": "stone", "k": 2}).json()) == 2


def test_a_count_of_zero_or_null_is_the_default_and_goes_by_three_names(url: str) -> None:
    for name in ("topk", "top_k", "k"):
        for count, found in ((0, 3), (None, 3), (1, 1), ("2", 2)):
            assert [len(some) for some in post(url, {"queries": ["stone"], name: count}).json()["result"]] == [found]
            documents = post(url, {"query": "stone", name: count}).json()
            assert len(documents["result"][0] if name == "topk" else documents) == found
