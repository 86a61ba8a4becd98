"""What a run under way tells: it never counts twice or goes back, and never stops the work."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from flows.configuration.run_context import RunContext
from flows.monitoring import prefect_artifacts as artifacts
from flows.monitoring import progress
from flows.monitoring.live_files import clear_live, find_stage, read_live, read_shards, write_live
from flows.monitoring.live_text import describe_stage
from flows.monitoring.progress import ProgressBoard
from flows.monitoring.shard_heartbeat import ShardHeartbeat, count_lines
from flows.monitoring.stage_progress import StageProgress
from flows.process.interruption import StoppedError
from flows.stages.registry import find_spec
from pipeline.errors import SourceError
from pipeline.llm.chat_model import BudgetSpentError
from pipeline.stage import Outcome
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.seals import seal_line
from schemas.config import RunConfig
from schemas.funnel import FunnelStep
from schemas.ledger import ShardCommit
from schemas.live import STALE_SECONDS, EndpointLive, ShardLive, StageLive


@pytest.fixture(autouse=True)
def _without_prefect(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no flow run here, and no API."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no API")

    for name in ("create_progress_artifact", "update_progress_artifact", "create_table_artifact"):
        monkeypatch.setattr(artifacts, name, refuse)


def make_place(folder: Path, **changes: object) -> RunContext:
    return RunContext(RunFolder(folder / "run"), RunConfig.model_validate(changes), folder)


def make_step(passed: int, rejected: int, unit: str = "document") -> FunnelStep:
    lost = {"too_short": rejected} if rejected else {}
    return FunnelStep(stage="chunk", unit=unit, entered=passed + rejected, passed=passed, rejected=lost)


def make_commit(shard: str, inputs: int, passed: int) -> ShardCommit:
    return ShardCommit(
        stage="chunk", shard=shard, inputs=inputs, files=(), funnel=(make_step(passed, inputs - passed),)
    )


def tell_shard(context: RunContext, done: int, resumed: int = 0, shard: str = "000", answered: int = 0) -> None:
    endpoint = EndpointLive(
        name="here", in_flight=3, limit=8, waiting=1, answered=answered, faults=1, usual_seconds=0.5, last_fault="500"
    )
    record = ShardLive(
        stage="chunk",
        shard=shard,
        pid=1,
        at=0.0,
        resumed=resumed,
        done=done,
        accepted=done // 2,
        endpoints=(endpoint,) if answered else (),
    )
    write_live(context.run.live_shard("chunk", shard), record)


def test_a_shard_counts_once_while_it_runs_and_when_it_is_finished(tmp_path: Path) -> None:
    context = make_place(tmp_path)
    gauge = StageProgress(context, find_spec("chunk"), 30)
    assert gauge.read().done == 0
    gauge.enter_earlier(make_commit("old", 10, 10))
    tell_shard(context, done=4, resumed=2)
    live = gauge.read()
    assert (live.done, live.done_now, live.shards) == (16, 4, 1)
    assert live.accepted_share == pytest.approx(12 / 14)
    gauge.enter(make_commit("000", 20, 5))
    live = gauge.read()
    assert (live.done, live.done_now, live.shards) == (30, 18, 0)
    assert live.accepted_share == 0.5
    assert live.seconds_left == 0
    assert read_shards(context.run, "chunk") == []
    tell_shard(context, done=20)  # a last word that comes too late
    assert gauge.read().done == 30


def test_work_of_earlier_sessions_is_no_speed(tmp_path: Path) -> None:
    gauge = StageProgress(make_place(tmp_path), find_spec("chunk"), 1000)
    gauge.enter_earlier(make_commit("old", 999, 999))
    live = gauge.read()
    assert live.rate == 0
    assert live.seconds_left is None


def test_reporter_counts_and_leaves_its_last_word(tmp_path: Path) -> None:
    context = make_place(tmp_path)
    journal = tmp_path / "journal"
    assert count_lines(journal) == 0
    journal.write_text("{}\n{}\n{torn")
    assert count_lines(journal) == 2
    with ShardHeartbeat(context.run, "chunk", "000", "document", 2, None) as reporter:
        (first,) = read_shards(context.run, "chunk")
        assert (first.resumed, first.done, first.accepted) == (2, 0, None)
        reporter.note(Outcome("a", (), (make_step(1, 0), make_step(7, 2, "passage"))))
        reporter.note(Outcome("b", (), (make_step(0, 1),)))
    (last,) = read_shards(context.run, "chunk")
    assert (last.done, last.accepted) == (2, 1)
    clear_live(context.run)
    assert not (context.run.root / "live").exists()


def test_what_a_killed_run_left_is_known_by_its_age(tmp_path: Path) -> None:
    context = make_place(tmp_path)
    live = StageProgress(context, find_spec("chunk"), 30).read()
    path = context.run.live_stage("chunk")
    write_live(path, live)
    assert find_stage(context.run, live.at + 1) == live
    assert find_stage(context.run, live.at + STALE_SECONDS + 1) is None
    path.write_text('{"run": "torn')
    assert read_live(path, StageLive) is None
    with ProgressBoard(Console(file=io.StringIO())).stage(context, find_spec("chunk"), 1):
        assert read_shards(context.run, "chunk") == [], "the next session begins with nothing"


def test_unwritable_folder_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "live").write_text("a file where a folder should be")
    context = make_place(tmp_path)
    with ShardHeartbeat(context.run, "chunk", "000", "document", 0, None):
        assert read_shards(context.run, "chunk") == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SourceError("broken"), "failed"),
        (ValueError("ours"), "failed"),
        (StoppedError("asked"), "stopped"),
        (BudgetSpentError("the cap"), "stopped"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_an_unfinished_stage_reports_whether_it_failed(error: BaseException, told: str, tmp_path: Path) -> None:
    printed = io.StringIO()
    board = ProgressBoard(Console(file=printed))
    with pytest.raises(type(error)), board.stage(make_place(tmp_path), find_spec("chunk"), 1):
        raise error
    assert printed.getvalue().startswith(f"{told} chunk")


def test_plain_lines_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_LINE_SECONDS", 0.02)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    context = make_place(tmp_path)
    printed = io.StringIO()
    with ProgressBoard(Console(file=printed, width=40)).stage(context, find_spec("chunk"), 8) as gauge:
        gauge.enter(make_commit("000", 4, 3))
        threading.Event().wait(0.3)
        assert find_stage(context.run, gauge.latest.at) is not None
        gauge.enter(make_commit("001", 4, 4))
    lines = printed.getvalue().splitlines()
    assert any(line.startswith("chunk: 4/8 documents, ") and "75% passed on" in line for line in lines)
    assert "done chunk" in lines[-1]
    assert "8 documents" in lines[-1]
    assert "\r" not in printed.getvalue()
    assert "\x1b" not in printed.getvalue()
    assert not (context.run.root / "live").exists()


def test_a_terminal_shows_a_bar_and_what_the_models_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    context = make_place(tmp_path, agents={"policy": "agents"}, llm={"budget": {"money": 2.5}})
    spec = find_spec("trajectories")
    printed = io.StringIO()
    with ProgressBoard(Console(file=printed, width=160, force_terminal=True)).stage(context, spec, 8) as gauge:
        gauge.enter(make_commit("000", 4, 3))
        threading.Event().wait(0.5)
    text = printed.getvalue()
    assert "4/8" in text
    assert "in flight" in text
    assert "cost 0.00 of 2.50" in text


def test_one_line_holds_what_there_is_to_know(tmp_path: Path) -> None:
    context = make_place(tmp_path, agents={"policy": "agents"}, llm={"budget": {"money": 2.5, "tokens": 10}})
    gauge = StageProgress(context, find_spec("trajectories"), 8)
    (context.run.root / "calls" / "usage.jsonl").write_bytes(seal_line(b'["planner","m",100,20,1.25,1.0,0.5]\n'))
    record = ShardLive(stage="trajectories", shard="0", pid=1, at=0, resumed=0, done=4, accepted=2, endpoints=())
    write_live(context.run.live_shard("trajectories", "0"), record)
    live = gauge.read()
    assert live.calls is not None
    assert (live.calls.prompt_tokens, live.calls.completion_tokens, live.calls.stage_cost) == (100, 20, 1.25)
    said = describe_stage(live)
    for part in ("trajectories: 4/8 tasks", "left", "50% passed on", "0 in flight", "tokens/s", "cost 1.25 of 2.50"):
        assert part in said
    assert "120 of 10 tokens" in said


def test_prefect_away_stops_nothing(tmp_path: Path) -> None:
    """The fixture above refuses everything."""
    with ProgressBoard(Console(file=io.StringIO())).stage(make_place(tmp_path), find_spec("chunk"), 1):
        pass
