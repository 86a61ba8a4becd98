"""Trajectories over a server of ours, and the commands: serve, query, and what they make of mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.run_context import RunContext
from flows.search_engines.registry import open_engine, read_fingerprint
from flows.stages.trajectories import open_trajectories
from pipeline.errors import ConfigError, RampforgeError, SearchError
from pipeline.search.engine import SearchRequest
from pipeline.storage.ledger_files import encode_record
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.funnel import Reject
from schemas.record import Record
from schemas.tasks import MaskTask
from schemas.trajectories import HideMode, SearchStatus, Trajectory
from tests.pipeline.agents.test_extractive import AGAIN, BRIDGE, OTHER, make_task
from tests.support.export_samples import make_record, write_run
from tests.support.fault_server import FaultServer
from tests.support.passage_samples import draw_passages, make_passage
from tests.support.search_samples import serve_index, serving, write_index

TASKS = [make_task(BRIDGE, ["Ion Vasile"]), make_task(AGAIN, ["Ion Vasile"], "p0001", 1)]


def make_place(folder: Path, **sections: Mapping[str, Any]) -> RunContext:
    return RunContext(RunFolder(folder), RunConfig.model_validate(sections), folder)


def attempt(context: RunContext, tasks: Sequence[MaskTask] = TASKS) -> list[Record]:
    stage = open_trajectories(context, "00000")
    return [row for outcome in stage.run(tasks) for row in outcome.rows]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an index and nothing else."""
    folder = tmp_path_factory.mktemp("run")
    texts = [make_passage(i, text, i) for i, text in enumerate((BRIDGE, AGAIN, OTHER))]
    write_index(folder, [*texts, *(p.model_copy(update={"passage_id": f"x{p.passage_id}"}) for p in draw_passages(60))])
    return folder


def test_trajectories_over_a_server_are_those_over_its_index(run: Path) -> None:
    search = {"hide": ["none", "passage", "page"], "k": 2}
    local = attempt(make_place(run, search=search))
    with serving(serve_index(run / "index", workers=1)) as server:
        service = {"url": f"http://127.0.0.1:{server.port}/", "cache": False}
        context = make_place(run, search={**search, "engine": "http"}, search_service=service)
        assert attempt(context) == local
        assert read_fingerprint(context) == read_fingerprint(make_place(run))
        kept = make_place(run, search={**search, "engine": "http"}, search_service={**service, "cache": True})
        assert attempt(kept) == local
        stage = open_trajectories(kept, "00000")
    (cache,) = (run / "searches").glob("http-*.jsonl")
    assert all(json.loads(line)["key"] for line in cache.read_text().splitlines())
    assert [row for outcome in stage.run(TASKS) for row in outcome.rows] == local, "what was found is found again"
    assert sum(isinstance(row, Trajectory) for row in local) == 6


def test_copies_of_the_source_are_withheld_from_every_engine(run: Path) -> None:
    source = SearchRequest(BRIDGE, HideMode.PASSAGE, "p0000", 0, "Page 0", f"It is known that {AGAIN}")
    (bare,) = open_engine(make_place(run, search={"hide_copies": False}), "s").search([source], 3)
    (without,) = open_engine(make_place(run), "s").search([source], 3)
    assert "p0001" in [hit.passage_id for hit in bare.hits]
    assert "p0001" not in [hit.passage_id for hit in without.hits]
    assert len(without.hits) == 3


def test_a_server_that_dies_gives_rejects_and_no_trajectory(run: Path) -> None:
    with serving(serve_index(run / "index")) as server:
        service = {"url": f"http://127.0.0.1:{server.port}", "tries": 1, "cache": False}
        context = make_place(run, search={"engine": "http"}, search_service=service)
        stage = open_trajectories(context, "00000")
    rows = [row for outcome in stage.run(TASKS) for row in outcome.rows]
    assert {row.reason for row in rows if isinstance(row, Reject)} == {"search_failed"}
    assert not any(isinstance(row, Trajectory) for row in rows)
    with pytest.raises(SearchError, match="no search server answers"):
        open_trajectories(context, "00000")


def test_what_is_missing_is_said(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="needs a server"):
        read_fingerprint(make_place(run, search={"engine": "http"}))
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    with serving(serve_index(run / "index")) as server:
        service = {"url": f"http://127.0.0.1:{server.port}", "key": "NO_SUCH_TOKEN"}
        with pytest.raises(ConfigError, match="NO_SUCH_TOKEN"):
            open_trajectories(make_place(run, search={"engine": "http"}, search_service=service), "00000")


@contextmanager
def served(index: Path, *words: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`rampforge search serve` in a process of its own, and where it listens."""
    command = [sys.executable, "-m", "rampforge", "search", "serve", str(index), "--port", "0", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | variables)
    assert process.stderr is not None
    try:
        said = ""
        while not (found := re.search(r"http://\S+:\d+", said)):
            line = process.stderr.readline()
            assert line, said
            said += line
        yield process, found.group()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_serve_leaves_nobody_behind(run: Path, number: signal.Signals) -> None:
    with served(run / "index", "--workers", "2", "--token-env", "TOKEN", TOKEN="sesame") as (process, url):  # noqa: S106 - made up
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert httpx.post(f"{url}/retrieve", json={"queries": ["x"]}, trust_env=False).status_code == 401
        shown = {"authorization": "Bearer sesame"}
        assert httpx.post(f"{url}/retrieve", json={"queries": ["x"]}, headers=shown, trust_env=False).status_code == 200
        process.send_signal(number)
        assert process.wait(20) == (-9 if number is signal.SIGKILL else 0)
        wait_for(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))


def test_each_task_is_served_without_its_source(tmp_path: Path) -> None:
    texts = [make_passage(i, text, i) for i, text in enumerate((BRIDGE, AGAIN, OTHER))]
    write_index(tmp_path, texts)
    write_run(tmp_path, [TASKS])
    (tmp_path / "run.json").write_bytes(encode_record(make_record(config=RunConfig().model_dump(mode="json"))))
    with served(tmp_path, "--hide", "page") as (_, url):
        for task in TASKS:
            named = {"x-rampforge-task": task.task_id}
            asked = {"queries": ["bridge over the Mara"], "topk": 3}
            (found,) = httpx.post(f"{url}/retrieve", json=asked, headers=named, trust_env=False).json()["result"]
            assert found
            assert task.passage_id not in {document["id"] for document in found}
            part = httpx.post(f"{url}/open?task={task.task_id}", json={"page": str(task.page_id)}, trust_env=False)
            assert part.json()["status"] == "no_page"
        assert httpx.post(f"{url}/retrieve", json=asked, trust_env=False).status_code == 403


def test_a_simulated_engine_is_served(tmp_path: Path) -> None:
    """The whole way: a run's configuration, the served engine, a model behind HTTP, and what it wrote, kept."""
    with FaultServer() as model:
        model.answer = lambda body: {"content": f"1. **Bridges of Lumea**: {AGAIN}\n2. **Harbour**: {OTHER}"}
        config = RunConfig.model_validate(
            {
                "search": {"engine": "simulated", "simulated": {"documents": 2}},
                "llm": {"roles": {"default": {"model": "m"}}, "endpoints": {"local": {"url": model.url}}},
            }
        )
        (tmp_path / "run.json").write_bytes(encode_record(make_record(config=config.model_dump(mode="json"))))
        asked = {"queries": ["bridge over the Mara", "harbour"], "topk": 2, "return_scores": True}
        with served(tmp_path) as (_, url):
            for _ in range(2):
                reply = httpx.post(f"{url}/retrieve", json=asked, trust_env=False, timeout=30)
                assert reply.status_code == 200, reply.text
                documents = [[item["document"]["contents"] for item in found] for found in reply.json()["result"]]
                assert documents == [[f'"Bridges of Lumea"\n{AGAIN}', f'"Harbour"\n{OTHER}']] * 2
        assert len(model.bodies) == 2, "what was written once is kept"


def test_query_shows_what_comes_back(run: Path) -> None:
    query = ["search", "query", "who built the Old Bridge"]
    index = ["--index", str(run / "index")]
    shown = CliRunner().invoke(app, [*query, "zzzz", *index, "-k", "2"])
    assert shown.exit_code == 0
    assert "Ion Vasile" in shown.stdout
    assert "zzzz  empty, 0 passages" in shown.stdout
    answered = CliRunner().invoke(app, [*query, "x" * 50_000, *index, "--json"])
    first, second = (json.loads(line) for line in answered.stdout.splitlines())
    assert answered.exit_code == 1
    assert (first["status"], second["status"]) == (SearchStatus.OK, SearchStatus.ERROR)
    assert first["hits"][0]["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve", "INDEX", "--host", "0.0.0.0"], "--token-env NAME"),  # noqa: S104 - refused
        (["serve", "INDEX", "--host", "0.0.0.0", "--token-env", "NO_SUCH_TOKEN"], "NO_SUCH_TOKEN"),  # noqa: S104
        (["serve", "INDEX", "--host", "203.0.113.7", "--token-env", "PATH"], "cannot listen"),
        (["serve", "NOWHERE"], "NOWHERE"),
        (["serve", "INDEX", "--hide", "page"], "no tasks"),
        (["query", "x", "--index", "NOWHERE"], "NOWHERE"),
        (["query", "x", "--index", "BARE"], "rampforge index BARE"),
        (["query", "x", "--index", "INDEX", "--engine", "http"], "search_service.url"),
    ],
)
def test_a_mistake_is_one_error_with_its_fix(run: Path, words: list[str], said: str) -> None:
    bare = run.parent / "bare"
    (bare / "index").mkdir(parents=True, exist_ok=True)
    folders = {"INDEX": str(run / "index"), "BARE": str(bare / "index")}
    error = CliRunner().invoke(app, ["search", *(folders.get(word, word) for word in words)]).exception
    assert isinstance(error, RampforgeError)
    assert said.replace("BARE", str(bare)) in str(error)
    assert error.fix
