"""Sources hidden by task: whatever path, wire and name a client tries, the source of its task is not shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from pipeline.search_server.requests import Exclusion
from schemas.passages import Passage
from tests.support.passage_samples import draw_passages, make_passage
from tests.support.search_samples import CLIENT, serve_pages, serving, write_index

COPIED = "the quick brown fox jumps over the lazy dog beside an old stone bridge"
LONG_COPIED = "one two three four five six seven eight nine ten eleven"
SECRETS = {"t-passage": "zanzibar", "t-page": "quixotic"}


def draw_corpus() -> list[Passage]:
    passages = draw_passages(80)
    passages[8] = make_passage(8, f"stone zanzibar {COPIED}", 2)
    passages[9] = make_passage(9, "stone tower of the same page", 2)
    passages[40] = make_passage(40, f"stone zanzibar again: {COPIED}", 10)
    passages[50] = make_passage(50, "harp solo", 12)
    passages[51] = make_passage(51, f"harp {LONG_COPIED}", 12)
    passages[52:76] = [make_passage(i, f"harp harp {i} {LONG_COPIED}", i // 4) for i in range(52, 76)]
    passages[20] = make_passage(20, "stone quixotic source", 5)
    passages[21] = make_passage(21, "stone quixotic elsewhere on the page", 5)
    return passages


def list_sources() -> dict[str, Exclusion]:
    return {
        "t-passage": Exclusion(passage_id="p0008"),
        "t-page": Exclusion(passage_id="p0020", page_id=5),
        "t-copied": Exclusion(passage_id="p0051"),
        "t-absent": Exclusion(passage_id="gone"),
    }


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    index = write_index(tmp_path_factory.mktemp("sources"), draw_corpus())
    with serving(replace(serve_pages(index, workers=2), open_sources=partial(list_sources))) as server:
        yield f"http://127.0.0.1:{server.port}"


def list_requests(page: int, passage: str, secret: str) -> list[tuple[str, Any]]:
    """Requests that would show the secret if nothing were hidden."""
    names = [f"Page {page}", f"page {page}", f"PAGE_{page}", f"page://{page}", str(page), passage]
    names += [f"https://en.wikipedia.org/wiki/Page_{page}", f"http://x/wiki/Page%20{page}?a=b#c", f" Page  {page} "]
    requests: list[tuple[str, Any]] = [
        ("/retrieve", {"queries": [secret, f"stone {secret}"], "topk": 50}),
        ("/retrieve", {"query": secret, "top_k": 50}),
        ("/retrieve", {"queries": [secret], "topk": 50, "details": True}),
        ("/search", {"query": secret, "top_n": 50}),
        ("/search", {"query": secret, "topn": 50}),
        ("/search", {"q": secret, "num": 50}),
        ("/batch_search", {"query": [secret], "top_n": 50}),
        ("/queries", {"queries": [secret], "k": 50}),
        ("/access", {"urls": names}),
    ]
    for name in names:
        requests += [("/get_content", {"url": name}), ("/find", {"page": name, "text": secret})]
        requests += [("/open", {"page": name, "cursor": cursor, "max_chars": 100_000}) for cursor in range(4)]
    return requests


def is_shown(answered: str, asked: Any, secret: str) -> bool:
    """Whether a reply holds the secret, besides as an echo of the query."""
    value = json.loads(answered)
    if isinstance(value, dict):
        value = {name: part for name, part in value.items() if name not in ("queries", "searchParameters")}
    return secret in json.dumps(value)


@pytest.mark.parametrize(("task", "page", "passage"), [("t-passage", 2, "p0008"), ("t-page", 5, "p0020")])
def test_no_request_shows_the_source_of_its_task(url: str, task: str, page: int, passage: str) -> None:
    secret = SECRETS[task]
    shown_to_others = 0
    for path, body in list_requests(page, passage, secret):
        replies = [CLIENT.post(url + path, json=body, headers={"x-rampforge-task": task})]
        replies.append(CLIENT.post(f"{url}{path}?task={task}", json=body))
        replies.append(CLIENT.post(f"{url}/{path}/", json=body, headers={"X-Rampforge-Task": task}))
        for reply in replies:
            assert reply.status_code in (200, 404), reply.text
            assert not is_shown(reply.text, body, secret), (path, body)
        other = CLIENT.post(url + path, json=body, headers={"x-rampforge-task": next(t for t in SECRETS if t != task)})
        shown_to_others += is_shown(other.text, body, secret)
    assert shown_to_others > 30, "the same requests show it to another task"


def test_copies_elsewhere_are_hidden_and_hits_stay_as_many(url: str) -> None:
    headers = {"x-rampforge-task": "t-passage"}
    found = CLIENT.post(f"{url}/retrieve", json={"queries": ["stone"], "topk": 7}, headers=headers).json()["result"][0]
    assert len(found) == 7
    assert not {"p0008", "p0040"} & {document["id"] for document in found}
    part = CLIENT.post(f"{url}/open", json={"page": "Page 10"}, headers=headers).json()
    assert part["status"] == "ok"
    assert "p0040" not in part["passage_ids"]


@pytest.mark.parametrize("k", [1, 2, 20])
def test_more_copies_than_spare_hits_do_not_crowd_out_the_rest(url: str, k: int) -> None:
    headers = {"x-rampforge-task": "t-copied"}
    body = {"queries": ["harp one two three", "harp", "nowhere"], "topk": k}
    first, second, none = CLIENT.post(f"{url}/retrieve", json=body, headers=headers).json()["result"]
    assert [document["id"] for document in first] == [document["id"] for document in second] == ["p0050"]
    assert none == []


@pytest.mark.parametrize("path", ["/retrieve", "/open"])
@pytest.mark.parametrize("tasks", [("t-page", "t-passage"), ("t-passage", "t-page"), ("unknown", "t-page")])
def test_a_request_with_two_headers_of_different_tasks_is_refused(url: str, path: str, tasks: Any) -> None:
    headers = httpx.Headers([("x-rampforge-task", task) for task in tasks])
    body = {"queries": ["stone"], "page": "Page 3"}
    assert CLIENT.post(url + path, json=body, headers=headers).status_code == 403
    same = httpx.Headers([("x-rampforge-task", tasks[1])] * 2)
    assert CLIENT.post(url + path, json=body, headers=same).status_code == 200


@pytest.mark.parametrize("path", ["/retrieve", "/search", "/batch_search", "/queries", "/open", "/find", "/access"])
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, ""),
        ({"x-rampforge-task": ""}, ""),
        ({"x-rampforge-task": "unknown"}, ""),
        ({"x-rampforge-task": "t-absent"}, ""),
        ({"x-rampforge-task": "t-page"}, "?task=t-passage"),
        ({}, "?task=t-page&task=t-passage"),
        ({}, "?Task=t-page"),
    ],
)
def test_a_request_without_one_known_task_is_refused(url: str, path: str, headers: Any, query: str) -> None:
    assert CLIENT.post(url + path + query, json={"queries": ["stone"]}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/retrieve", {"queries": ["stone"], "exclude": [None]}),
        ("/open", {"page": "Page 2", "exclude": {"passage_id": "p"}}),
    ],
)
def test_a_client_cannot_say_itself_what_is_hidden(url: str, path: str, body: Any) -> None:
    assert CLIENT.post(url + path, json=body, headers={"x-rampforge-task": "t-page"}).status_code == 422


def test_many_clients_with_different_tasks_at_once(url: str) -> None:
    def ask(number: int) -> bool:
        task = ("t-passage", "t-page")[number % 2]
        other = ("t-passage", "t-page")[1 - number % 2]
        body = {"queries": [SECRETS[task], SECRETS[other]], "topk": 5}
        mine, others = CLIENT.post(f"{url}/retrieve", json=body, headers={"x-rampforge-task": task}).json()["result"]
        return not any(SECRETS[task] in d["contents"] for d in mine) and any(
            SECRETS[other] in d["contents"] for d in others
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(100)))
