"""The pages over HTTP: who may ask, that poison is inert, that reviews are kept, that files can be had."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from flows.cli.inspect_web import read_job
from flows.cli.review import read_labels
from pipeline.inspecting.attempts_table import open_attempts
from pipeline.inspecting.locations import DataLocation, open_location
from pipeline.inspecting.web import opened_runs
from pipeline.inspecting.web.app import PageServices, build_app
from pipeline.judging.calibration import read_labelled
from pipeline.report.report_data import ReportExample
from pipeline.storage.seals import seal_file
from schemas.trajectories import RoleUsage
from tests.support.inspect_samples import POISON, make_distillation, make_poisoned_run, make_run
from tests.support.report_samples import make_examples

TOKEN = "a-token"  # noqa: S105  # of a test
BASE = "http://127.0.0.1:8377"
PAGES = (
    "", "attempts", "attempts?ended=rejected&sort=f1&down=1", "charts?masks=2", "reviews", "labels", "live",
    "data/tasks", "data/rejects?sort=reason", "rows?id=try001", "attempts/try001",
    "attempts/try001/tokens?format=qwen-tools", "compare?a=try001&b=try002",
)  # fmt: skip


@contextmanager
def open_pages(path: Path, clock: Callable[[], float] = lambda: 0.0, timeout: float = 60.0) -> Iterator[TestClient]:
    around = PageServices(
        clock=clock,
        now=lambda: "2026-01-02T03:04:05+00:00",
        read_live=read_job,
        reviewer="tester",
        timeout=timeout,
    )
    yield TestClient(build_app(open_location(path), TOKEN, around), BASE, follow_redirects=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "harbour")


@pytest.fixture
def pages(run: Path) -> Iterator[TestClient]:
    with open_pages(run) as client:
        client.get("/", params={"token": TOKEN})
        yield client


class Tags(HTMLParser):
    """The tags of a page, with their attributes, and its scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_under_a_strict_policy(pages: TestClient, page: str) -> None:
    reply = pages.get(f"/harbour/{page}")
    assert reply.status_code == 200
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]


@pytest.mark.parametrize("page", PAGES)
def test_poison_is_inert_on_every_page(tmp_path: Path, page: str) -> None:
    with open_pages(make_poisoned_run(tmp_path / "harbour")) as client:
        client.get("/", params={"token": TOKEN})
        reply = client.get(f"/harbour/{page}")
    assert reply.status_code == 200
    tags = Tags(reply.text).seen
    assert [attrs for tag, attrs in tags if tag == "script"] == [{"src": "/static/script.js", "defer": None}]
    assert not [
        tag for tag, attrs in tags if tag in ("img", "iframe", "style") or any(a.startswith("on") for a in attrs)
    ]
    links = [attrs.get("href") or attrs.get("action") or "/" for _, attrs in tags]
    assert all(link.startswith(("/", "#", "data:,")) and not link.startswith("//") for link in links)
    assert not set(reply.text) & set("\x1b\x07\x9b\u202e\u202c")


def test_token_is_required(run: Path) -> None:
    with open_pages(run) as client:
        assert client.get("/harbour/").status_code == 403
        assert client.get("/", params={"token": "wrong"}).status_code == 403
        reply = client.get("/harbour/attempts", params={"token": TOKEN})
        assert reply.headers["location"] == "/harbour/attempts"
        assert "HttpOnly; SameSite=Strict" in reply.headers["set-cookie"]
        assert client.get("/harbour/").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:8377"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_origins_are_refused(pages: TestClient, headers: dict[str, str]) -> None:
    assert pages.get("/harbour/", headers=headers).status_code == 403
    assert pages.post("/harbour/attempts/try001/review", data={"mark": "bad"}, headers=headers).status_code == 403
    assert not (pages.get("/harbour/reviews").text.count("tester"))


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/nope/", 400), ("/..%2f..%2fetc/", 404), ("/harbour/attempts/nope", 400), ("/harbour/attempts?masks=x", 400),
        ("/harbour/data/nope", 400), ("/static/app.py", 404), ("/harbour/none", 404), ("/docs", 404),
        ("/harbour/data/tasks?where=" + quote("1=1) UNION SELECT * FROM read_text('/etc/passwd'"), 400),
        ("/harbour/data/tasks?sort=" + quote("title; DROP VIEW tasks"), 400), ("/harbour/compare?a=x&b=y", 400),
    ],
)  # fmt: skip
def test_missing_pages_are_errors(pages: TestClient, address: str, status: int) -> None:
    reply = pages.get(address)
    assert reply.status_code in (status, 307)
    assert "root:" not in reply.text
    assert "Traceback" not in reply.text


def test_review_is_saved_and_becomes_a_label(pages: TestClient, run: Path, tmp_path: Path) -> None:
    where = "/harbour/attempts/try000/review?masks=1"
    reply = pages.post(where, data={"mark": "good", "note": f"clear {POISON}"}, headers={"origin": BASE})
    assert (reply.status_code, reply.headers["location"]) == (303, "/harbour/attempts/try000?masks=1")
    pages.post("/harbour/attempts/try001/review", data={"mark": "bad", "note": "mask 2: the wrong year"})
    pages.post("/harbour/attempts/try002/review", data={"mark": "bad", "note": "taken back"})
    pages.post("/harbour/attempts/try002/review", data={"mark": "none"})
    assert pages.post("/harbour/attempts/try003/review", data={"mark": "so so"}).status_code == 400
    assert pages.post("/harbour/attempts/nope/review", data={"mark": "good"}).status_code == 400
    assert "the wrong year" in pages.get("/harbour/reviews").text
    labels = list(read_labels(run))
    assert [(label.source, label.mask, label.verdict) for label in labels] == [
        ("try000", 0, "correct"), ("try001", 1, "incorrect"),
    ]  # fmt: skip
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{label.model_dump_json()}\n" for label in labels))
    assert list(read_labelled(path)) == labels
    assert sorted(file.name for file in (run / "reviews").iterdir()) == [".lock", "part-reviews.parquet"]


def test_the_current_filter_can_be_had_as_a_file(pages: TestClient) -> None:
    def get(form: str) -> Any:
        reply = pages.get(f"/harbour/download?masks=1&format={form}")
        assert f"attempts.{form}" in reply.headers["content-disposition"]
        return reply

    rows = list(csv.DictReader(io.StringIO(get("csv").text)))
    wanted = {row["trajectory_id"] for row in rows}
    assert len(wanted) == 6
    lines = [json.loads(line) for line in get("jsonl").text.splitlines()]
    assert {line["trajectory_id"] for line in lines} == wanted
    assert lines[0]["turns"][0]["shown"]
    table = pq.read_table(io.BytesIO(get("parquet").content))
    assert set(table.column("trajectory_id").to_pylist()) == wanted


def test_later_shards_are_shown(run: Path) -> None:
    second, times = run / "trajectories" / "part-0001.parquet", [0.0]
    late = second.read_bytes()
    second.unlink()
    with open_pages(run, lambda: times[0]) as client:
        client.get("/", params={"token": TOKEN})
        assert "<b>12</b> attempts" in client.get("/harbour/attempts").text
        second.write_bytes(late)
        assert "<b>12</b> attempts" in client.get("/harbour/attempts").text  # looked at just now
        times[0] = 1000.0
        assert "<b>24</b> attempts" in client.get("/harbour/attempts").text


def test_a_run_that_takes_long_to_open_keeps_nobody_waiting(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, times = Event(), [0.0]
    opening = open_attempts

    def open_slowly(context: DataLocation) -> Any:
        assert gate.wait(60)
        return opening(context)

    monkeypatch.setattr(opened_runs, "open_attempts", open_slowly)
    with open_pages(run, lambda: times[0], timeout=0.01) as client:
        client.get("/", params={"token": TOKEN})
        reply = client.get("/harbour/attempts")
        assert reply.status_code == 503
        assert 'http-equiv="refresh"' in reply.text
        assert client.get("/harbour/live").status_code == 200
        gate.set()
        assert await_page(client, "/harbour/attempts", "<b>24</b> attempts")
        gate.clear()
        (run / "trajectories" / "part-0001.parquet").unlink()
        times[0] = 1000.0
        assert "<b>24</b> attempts" in client.get("/harbour/attempts").text  # as it was, while it is opened again
        gate.set()
        assert await_page(client, "/harbour/attempts", "<b>12</b> attempts")


def await_page(client: TestClient, address: str, text: str) -> bool:
    """Ask until a text stands on a page."""
    return any(text in client.get(address).text for _ in range(3000))


def test_rounds_are_drawn_and_lead_to_their_attempts(tmp_path: Path) -> None:
    root = make_distillation(tmp_path / "outputs" / "loop")
    (tmp_path / "outputs" / "for-trl").mkdir()
    record = json.loads((root / "round-02" / "run.json").read_text())
    digest = record["fingerprints"].setdefault("judgements", "0123456789abcdef")
    (root / "round-02" / "run.json").write_bytes(seal_file(json.dumps(record).encode()))
    (tmp_path / "outputs" / "for-trl" / "README.md").write_text(f"# x\n| fingerprint judgements | {digest} |\n")
    with open_pages(tmp_path / "outputs") as client:
        client.get("/", params={"token": TOKEN})
        first = client.get("/").text
        assert "What is held out" in first
        assert 'href="/loop-round-01/attempts"' in first
        assert client.get("/loop-round-01/attempts").status_code == 200
        union = client.get("/loop-union-round-02/attempts").text
        assert "<b>72</b> attempts" in union
        assert '<select name="round">' in union
        assert "<b>24</b> attempts" in client.get("/loop-union-round-02/attempts?round=1").text
        assert "attempts?round=2" in client.get("/loop-union-round-02/charts").text
        lineage = client.get("/loop-round-02/").text
        assert 'href="/#rounds-loop"' in lineage
        assert "for-trl" in lineage
        (root / "rounds" / "part-01.parquet").write_bytes(b"PAR1")
        assert "no complete record of this version: part-01.parquet" in client.get("/").text


def test_a_bar_of_the_costs_leads_to_its_attempts(run: Path) -> None:
    examples = make_examples(12)
    dear = [spend(example, 0.003 * number) for number, example in enumerate(examples)]
    with open_pages(make_run(run.parent / "dear", dear)) as client:
        client.get("/", params={"token": TOKEN})
        charts = client.get("/dear/charts").text
        (part,) = [part for part in charts.split("<figure") if "<b>Cost</b>" in part]
        links = [link["href"] for tag, link in Tags(part).seen if tag == "a" and link["href"]]
        counts = [int(client.get(link).text.split('class="count"><b>')[1].split("<")[0]) for link in links]
        assert len(links) > 2
        assert sum(counts) == 11  # one cost nothing


def spend(example: ReportExample, cost: float) -> ReportExample:
    usage = RoleUsage(role="planner", model="m", calls=1, prompt_tokens=10, completion_tokens=5, cost=cost)
    return ReportExample(example.task, example.trajectory.model_copy(update={"usage": (usage,)}), example.judgement)


PATHS = "/a%0d%0aSet-Cookie:x=y /%00 /harbour/data/%0a /harbour/attempts/%7f /%1b[2J /%ff%fe /%C0%AF /%5c..%5cetc"


@pytest.mark.parametrize("path", [*PATHS.split(), "/harbour/data/%ff", "/" + "a" * 5000])
def test_paths_that_no_header_can_hold_are_refused(pages: TestClient, path: str) -> None:
    for address in (path, f"{path}?token={TOKEN}"):
        reply = pages.get(address)
        assert reply.status_code == 400
        assert set(reply.headers) & {"location", "set-cookie", "x"} == set()


def test_the_way_in_leads_to_the_same_path(pages: TestClient) -> None:
    for path in ("/h%C3%A1fen/live", "/a%20b/", "//evil.com"):
        location = pages.get(BASE + path, params={"token": TOKEN}).headers["location"]
        assert location == "/" + path.lstrip("/")


@pytest.mark.parametrize(
    "address",
    ["attempts?masks=" + "9" * 40, "attempts?round=1e9", "data/tasks?page=" + "9" * 30, "data/tasks?sort=%00",
     "rows?id=%00", "data/nothing", "data/tasks?where=%00", "attempts/%F0%9F%98%80", "compare?a=x"],
)  # fmt: skip
def test_invalid_parameters_are_client_errors(pages: TestClient, address: str) -> None:
    assert pages.get(f"/harbour/{address}").status_code in (200, 400, 404)
