"""The search server: paths, bad clients, overload, tokens, and the death of workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from pipeline.errors import SearchError
from pipeline.search.bm25 import Bm25Engine
from pipeline.search_server.connection_balancer import SILENT_SECONDS
from pipeline.search_server.pages import DESCRIBED
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.supervisor import SearchServer
from pipeline.search_server.worker_process import SearchServerError
from tests.bench.search_server import survive
from tests.support.passage_samples import draw_passages
from tests.support.search_samples import CLIENT, SlowEngine, post, serve_index, serving, wait_until_ready, write_index

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_index(tmp_path_factory.mktemp("served"), draw_passages(200))


@pytest.fixture(scope="module")
def url(index: Path) -> Iterator[str]:
    with serving(serve_index(index)) as server:
        yield f"http://127.0.0.1:{server.port}"


def test_paths_and_methods(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/nowhere").status_code == 404
        assert client.get("/retrieve").status_code == 405
        assert client.get("/retrieve").headers["allow"] == "POST"
        assert client.post("/healthz").status_code == 405
        assert client.head("/healthz").status_code == 200
        assert client.head("/healthz").content == b""
        for path in ("/healthz", "/health", "/health/", "//healthz", "/t/any/healthz"):
            assert client.get(f"{str(client.base_url).rstrip('/')}{path}").json()["status"] == "ok"
        for path in ("/retrieve/", "//retrieve", "//retrieve//", "/t/any/retrieve"):
            assert client.post(f"{url}{path}", json={"queries": []}).json() == {"result": []}


def test_the_protocol_is_documented(url: str) -> None:
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert '"openapi.json"' in client.get("/docs").text.replace("'", '"')
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert list(document["paths"]) == [*DESCRIBED, "/healthz", "/metrics"]
    fields = document["components"]["schemas"]["RetrieveRequest"]["properties"]
    assert {"queries", "topk", "return_scores"} <= set(fields)
    retrieve = document["paths"]["/retrieve"]["post"]
    assert set(retrieve["responses"]) == {"200", "400", "401", "403", "413", "422", "502", "503"}
    (content,) = retrieve["requestBody"]["content"].values()
    assert set(content["examples"]) == set(retrieve["responses"]["200"]["content"]["application/json"]["examples"])
    for example in content["examples"].values():
        assert post(url, example["value"]).status_code == 200


def test_a_body_too_long_is_not_read(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /retrieve HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n{")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")
    with pytest.raises(urllib.error.HTTPError) as raised:  # it sends everything before it reads anything
        urllib.request.urlopen(f"{url}/retrieve", b"x" * (33 << 20), timeout=30)
    assert raised.value.code == 413
    assert "longer than" in json.load(raised.value)["error"]


def test_clients_that_go_away_harm_nobody(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    body = json.dumps({"queries": ["stone bridge"] * 2000}).encode()
    for sent in (b"PO", b"POST /retrieve HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc", body):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = b"POST /retrieve HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
            connection.sendall(head + sent if sent is body else sent)
    assert post(url, {"queries": ["stone"]}).status_code == 200


def test_metrics_count(url: str) -> None:
    def read() -> dict[str, float]:
        lines = httpx.get(f"{url}/metrics", trust_env=False).text.splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if not x.startswith("#"))}

    before = read()
    post(url, {"queries": ["stone", "zzzz"], "topk": 2})
    post(url, {})
    after = read()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed['rampforge_search_queries_total{status="ok"}'] == 1
    assert changed['rampforge_search_queries_total{status="empty"}'] == 1
    assert changed["rampforge_search_documents_total"] == 2
    assert changed['rampforge_search_requests_total{code="422"}'] == 1
    assert changed['rampforge_search_request_seconds_bucket{le="+Inf"}'] == 1
    assert after["rampforge_search_workers"] == 1


def test_a_full_line_turns_requests_away() -> None:
    settings = ServerSettings(open_engine=partial(SlowEngine, 0.05), queue=8)
    with serving(settings) as server:
        url = f"http://127.0.0.1:{server.port}"
        replies: list[httpx.Response] = []
        crowd = [threading.Thread(target=lambda: replies.append(post(url, {"queries": ["x"] * 4}))) for _ in range(10)]
        for client in crowd:
            client.start()
        for client in crowd:
            client.join()
    away = [reply for reply in replies if reply.status_code == 503]
    assert away
    assert all(reply.headers["retry-after"] == "1" for reply in away)
    assert len(away) + sum(reply.status_code == 200 for reply in replies) == 10


def test_others_are_heard_while_a_long_batch_is_worked_on() -> None:
    with serving(ServerSettings(open_engine=partial(SlowEngine, 0.1))) as server:
        url = f"http://127.0.0.1:{server.port}"
        long = threading.Thread(target=post, args=(url, {"queries": ["x"] * 30}))
        long.start()
        time.sleep(0.3)
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert long.is_alive()
        long.join()


def test_a_token_is_asked_for(index: Path) -> None:
    settings = ServerSettings(open_engine=serve_index(index).open_engine, token="open sesame")  # noqa: S106 - made up
    assert "sesame" not in repr(settings)
    with serving(settings) as server:
        url = f"http://127.0.0.1:{server.port}"
        for header in ("", "Bearer", "Bearer nonsense", "open sesame"):
            reply = post(url, {"queries": ["x"]}, **({"authorization": header} if header else {}))
            assert reply.status_code == 401
            assert "sesame" not in reply.text
            for path in ("/t/open", "/t/open%20sesam", "/t/", "/x/t/open%20sesame", "/t//open%20sesame"):
                reply = CLIENT.post(f"{url}{path}/retrieve", json={"queries": ["x"]})
                assert reply.status_code in (401, 404)
                assert "open" not in reply.text
        assert post(url, {"queries": ["x"]}, authorization="Bearer open sesame").status_code == 200
        assert post(f"{url}/t/open%20sesame", {"queries": ["x"]}).status_code == 200
        assert "sesame" not in CLIENT.get(f"{url}/t/open%20sesame/nowhere").text
        metrics = CLIENT.get(f"{url}/t/open%20sesame/metrics")
        assert metrics.status_code == 200
        assert "sesame" not in metrics.text
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200


def test_a_killed_worker_is_replaced_and_repeating_loses_nothing(index: Path) -> None:
    with serving(serve_index(index, workers=2)) as server:
        url = f"http://127.0.0.1:{server.port}"
        pids = {worker.pid for worker in server.workers}
        os.kill(server.workers[0].pid or 0, signal.SIGKILL)
        for _ in range(50):
            try:
                reply = post(url, {"queries": ["stone"]})
            except httpx.TransportError:
                reply = post(url, {"queries": ["stone"]})
            assert reply.status_code == 200
        wait_until_ready(server)
        assert len({worker.pid for worker in server.workers} - pids) == 1
        text = httpx.get(f"{url}/metrics", trust_env=False).text
        assert "rampforge_search_worker_restarts_total 1" in text
        assert "rampforge_search_workers 2" in text


def test_a_worker_that_hangs_is_replaced_and_given_nobody(index: Path) -> None:
    with serving(replace(serve_index(index, workers=2), hang_seconds=3.0)) as server:
        url = f"http://127.0.0.1:{server.port}"
        stopped = server.workers[0].pid or 0
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(SILENT_SECONDS + 0.5)
        assert all(post(url, {"queries": ["stone"]}).status_code == 200 for _ in range(20))
        deadline = time.monotonic() + 30
        while server.workers[0].pid in (stopped, None) and time.monotonic() < deadline:
            time.sleep(0.05)
        wait_until_ready(server)
        assert stopped not in {worker.pid for worker in server.workers}


def test_connections_that_a_dead_worker_had_not_taken_are_answered(index: Path) -> None:
    with serving(serve_index(index)) as server, ExitStack() as stack:
        pid = server.workers[0].pid or 0
        os.kill(pid, signal.SIGSTOP)
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60)) for _ in range(5)
        ]
        deadline = time.monotonic() + 10
        while server.workers[0].connections < len(clients) and time.monotonic() < deadline:
            time.sleep(0.01)
        for client in clients:
            client.sendall(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        os.kill(pid, signal.SIGKILL)
        assert all(client.recv(100).startswith(b"HTTP/1.1 200") for client in clients)


def test_a_request_under_way_is_answered_before_the_server_stops() -> None:
    replies: list[int] = []
    with serving(ServerSettings(open_engine=partial(SlowEngine, 1.0))) as server:
        url = f"http://127.0.0.1:{server.port}"
        asking = threading.Thread(target=lambda: replies.append(post(url, {"queries": ["x", "y"]}).status_code))
        asking.start()
        time.sleep(0.5)
    asking.join()
    assert replies == [200]
    with pytest.raises(httpx.ConnectError):
        post(url, {})


def test_a_steady_load_outlives_a_kill(index: Path) -> None:
    queries = [passage.text for passage in draw_passages(40, seed=1)]
    figures = {figure.name: figure for figure in survive(index, queries, 5.0)}
    assert all(figure.holds() is not False for figure in figures.values()), figures
    assert figures["answered with a worker killed"].value > 500


def refuse() -> Bm25Engine:
    raise SearchError("the index is broken", "mend it")


def die() -> Bm25Engine:
    os._exit(7)


def test_what_cannot_start_says_why(index: Path) -> None:
    for opener, said in ((refuse, "the index is broken"), (die, "died 3 times")):
        with pytest.raises(SearchServerError, match=said), serving(ServerSettings(open_engine=opener)):
            pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = ServerSettings(open_engine=refuse, port=other.getsockname()[1], workers=2)
        with pytest.raises(SearchServerError, match="in use"):
            SearchServer(taken)
