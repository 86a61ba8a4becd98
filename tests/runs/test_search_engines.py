"""Trajectories over engines that are asked: the web and a simulated one, both behind real HTTP; and what becomes of
faults: no trajectory ever shows an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flows.configuration.run_context import RunContext
from flows.models.usage import enter_calls
from flows.stages.trajectories import open_trajectories
from pipeline.judging.trajectory_format import find_fault
from pipeline.llm.usage_log import CallUsage
from pipeline.search.bm25 import build_index
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.funnel import Reject
from schemas.search_config import SearchConfig, WebProvider
from schemas.trajectories import SearchStatus, StopReason, Trajectory, Usefulness
from tests.pipeline.agents.test_extractive import AGAIN, BRIDGE, OTHER, make_task
from tests.support.fake_web import KEY, FakeWeb
from tests.support.fault_server import FaultServer, prompt_of
from tests.support.passage_samples import make_passage, write_shards

TASK = make_task(BRIDGE, ["Ion Vasile"])
SOURCE = ("Page 0 - Wikipedia", "https://en.wikipedia.org/wiki/Page_0", BRIDGE)
FOUND = ("Bridges of Lumea", "https://example.org/bridges", AGAIN)
REPLIES: dict[str, dict[str, Any]] = {
    "give_up": {"think": "Who built the bridge?", "mask": 1, "give_up": False},
    "queries": {"queries": ["bridge over the Mara builder", "Lumea engineer", "Old Bridge 1871"]},
    "closing": {
        "conclusion": "The passage names him.",
        "answers": [{"mask": 1, "answer": "Ion Vasile", "passage": 1}],
        "next": "answer",
        "closing": "Read in the first passage.",
    },
}


def answer_by_role(body: dict[str, Any]) -> dict[str, Any]:
    """Plays the agents by the schema that is asked for, and without one the search engine."""
    if "response_format" not in body:
        return {"content": f"Sure:\n1. **Bridges of Lumea**: {AGAIN}\n2. **Harbour**: {OTHER}"}
    required = body["response_format"]["json_schema"]["schema"]["required"]
    (reply,) = [reply for key, reply in REPLIES.items() if key in required]
    return {"content": json.dumps(reply)}


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWeb]:
    monkeypatch.setenv("SERPER_API_KEY", KEY + "\n")
    with FakeWeb(pages=(SOURCE, FOUND)) as server:
        yield server


@pytest.fixture
def model() -> Iterator[FaultServer]:
    with FaultServer() as server:
        server.answer = answer_by_role
        yield server


def attempt(
    folder: Path, policy: str, search: Mapping[str, Any], service: Mapping[str, Any], model: FaultServer | None = None
) -> list[Trajectory | Reject]:
    """What the stage, opened as in a run, makes of one task."""
    config = RunConfig.model_validate(
        {
            "agents": {"policy": policy},
            "search": search,
            "search_service": {"tries": 1, **service},
            "llm": {
                "roles": {"default": {"model": "m"}},
                "endpoints": {"local": {"url": model.url}} if model else {},
                "limits": {"tries": 2, "max_wait": 0.1},
            },
        }
    )
    run = RunFolder(folder / "run")
    if not run.index.exists():
        folder.mkdir(exist_ok=True)
        shards = write_shards(folder, [make_passage(i, text, i) for i, text in enumerate((BRIDGE, OTHER))])
        build_index(shards, run.index, SearchConfig(), "en")
    stage = open_trajectories(RunContext(run, config, folder), "00000")
    (outcome,) = stage.run([TASK])
    return [row for row in outcome.rows if isinstance(row, Trajectory | Reject)]


def take_trajectory(rows: list[Trajectory | Reject]) -> Trajectory:
    (row,) = rows
    assert isinstance(row, Trajectory)
    assert find_fault(row, TASK.mask_count) is None
    return row


def search_web(web: FakeWeb, **more: Any) -> dict[str, Any]:
    return {"engine": "web", "web": {"provider": "serper"}, "hide": ["page"], **more}


def test_a_query_is_paid_for_once_whatever_is_hidden(tmp_path: Path, web: FakeWeb, model: FaultServer) -> None:
    search = search_web(web, hide=["none", "passage", "page"])
    rows = attempt(tmp_path, "agents", search, {"url": web.url(WebProvider.SERPER)}, model)
    assert len(rows) == 3
    assert set(web.asked.values()) == {1}
    seen = [passage.text for row in rows if isinstance(row, Trajectory) for turn in row.turns for passage in turn.shown]
    assert seen.count(BRIDGE) == 1, "only where nothing is hidden"


@pytest.mark.parametrize("policy", ["extractive", "agents"])
def test_a_task_is_solved_over_the_web(tmp_path: Path, web: FakeWeb, model: FaultServer, policy: str) -> None:
    service = {"url": web.url(WebProvider.SERPER)}
    trajectory = take_trajectory(attempt(tmp_path, policy, search_web(web), service, model))
    assert trajectory.answers[0].answer == "Ion Vasile"
    shown = [passage for turn in trajectory.turns for passage in turn.shown]
    assert [passage.text for passage in shown][:1] == [AGAIN]
    assert BRIDGE not in [passage.text for passage in shown], "the source page is withheld"
    assert KEY not in trajectory.model_dump_json()
    asked = sum(web.asked.values())
    again = take_trajectory(attempt(tmp_path, policy, search_web(web), service, model))
    assert again == trajectory
    assert sum(web.asked.values()) == asked, "what was found is kept for good"
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("policy", ["extractive", "agents"])
@pytest.mark.parametrize("cue", ["500", "quota", "html", "bad key", "half"])
def test_a_web_that_fails_gives_no_trajectory(
    tmp_path: Path, web: FakeWeb, model: FaultServer, policy: str, cue: str
) -> None:
    web.cue = cue
    service = {"url": web.url(WebProvider.SERPER), "deadline": 0.5}
    rows = attempt(tmp_path, policy, search_web(web), service, model)
    assert [(type(row), row.reason) for row in rows if isinstance(row, Reject)] == [(Reject, "search_failed")] * 2
    assert not any(isinstance(row, Trajectory) for row in rows)
    assert KEY not in "".join(row.model_dump_json() for row in rows)
    web.cue = "ok"
    take_trajectory(attempt(tmp_path, policy, search_web(web), service, model))


def test_one_failing_search_of_three_is_recorded_and_not_shown(
    tmp_path: Path, web: FakeWeb, model: FaultServer
) -> None:
    web.cues = ["500"]
    service = {"url": web.url(WebProvider.SERPER), "in_flight": 1}
    (trajectory,) = attempt(tmp_path, "agents", search_web(web), service, model)
    assert isinstance(trajectory, Trajectory)
    assert find_fault(trajectory, TASK.mask_count), "such a trajectory is judged, and never accepted"
    statuses = sorted(call.status for call in trajectory.turns[0].calls)
    assert statuses == [SearchStatus.ERROR, SearchStatus.OK, SearchStatus.OK]
    assert "broken" not in "".join(passage.text for passage in trajectory.turns[0].shown)
    assert not any("broken" in prompt_of(body) for body in model.bodies)


@pytest.mark.parametrize("policy", ["extractive", "agents"])
def test_a_task_is_solved_over_simulated_results(tmp_path: Path, model: FaultServer, policy: str) -> None:
    search = {"engine": "simulated", "simulated": {"start": 0.5, "documents": 2}, "hide": ["passage"]}
    trajectory = take_trajectory(attempt(tmp_path, policy, search, {}, model))
    assert trajectory.answers[0].answer == "Ion Vasile"
    assert trajectory.stop_reason is StopReason.ANSWERED
    hits = [hit for turn in trajectory.turns for call in turn.calls for hit in call.hits]
    assert {hit.usefulness for hit in hits} <= set(Usefulness)
    asked = len(model.bodies)
    assert any("Ion Vasile" in prompt_of(body) for body in model.bodies if "response_format" not in body)
    assert not any("Ion Vasile" in prompt_of(body) for body in model.bodies if "rewrite" in prompt_of(body))
    books = [json.loads(line) for line in (tmp_path / "run" / "calls" / "usage.jsonl").read_text().splitlines()]
    assert len(books) == asked
    (tmp_path / "run" / "searches").rename(tmp_path / "away")  # the journal alone answers again
    assert take_trajectory(attempt(tmp_path, policy, search, {}, model)) == trajectory
    assert len(model.bodies) == asked


@pytest.mark.parametrize("policy", ["extractive", "agents"])
def test_a_simulator_that_refuses_gives_no_trajectory(tmp_path: Path, model: FaultServer, policy: str) -> None:
    model.cue = lambda body, count: "ok" if "response_format" in body else "filter"
    (tmp_path / "run").mkdir()
    token = CallUsage("simulator", "m", 1, 1, 0.0, 0.0, 0.0)  # the start of a run asks each role for one
    enter_calls(RunFolder(tmp_path / "run"), [token])
    rows = attempt(tmp_path, policy, {"engine": "simulated"}, {}, model)
    assert [row.reason for row in rows if isinstance(row, Reject)] == ["search_failed"] * 2
    assert not any(isinstance(row, Trajectory) for row in rows)
