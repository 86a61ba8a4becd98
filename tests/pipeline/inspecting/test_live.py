"""What the inspector says of a run at work, and the port it listens at."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from flows.cli.inspect_web import _listen, read_job
from flows.monitoring.live_files import write_live
from pipeline.errors import ConfigError
from pipeline.inspecting.live_view import read_latest
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.run_lock import LOCK, LOOK_SECONDS, is_held
from schemas.live import RunState, StageLive
from tests.pipeline.inspecting.test_web import TOKEN, open_pages
from tests.support.inspect_samples import make_run

REJECT = b'{"key":"task%03d","rows":[["rejects",{"reason":"not_sampled"}]],"funnel":[]}\n'
MADE = b'{"key":"made%03d","rows":[["trajectories",{}]],"funnel":[]}\n'


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "runs" / "new").mkdir(parents=True)
    return RunFolder(tmp_path / "runs" / "new")


def begin(folder: RunFolder, stage: str) -> None:
    folder.ledger(stage).mkdir(parents=True, exist_ok=True)
    (folder.ledger(stage) / "stage.json").write_text("{}")


def finish(folder: RunFolder, stage: str) -> None:
    begin(folder, stage)
    manifest = folder.ledger(stage) / "manifest.json"
    manifest.write_text("{}")
    later = time.time() + 5
    os.utime(manifest, (later, later))


def tell_stage(folder: RunFolder) -> None:
    live = StageLive(
        run="new", stage="trajectories", unit="task", pid=1, at=time.time(), seconds=9.0, total=40, done=10,
        done_now=10, rate=1.5, accepted_share=0.5, seconds_left=20.0, shards=1,
    )  # fmt: skip
    write_live(folder.live_stage("trajectories"), live)


def test_the_state_of_a_run_is_what_its_lock_and_its_ledger_show(folder: RunFolder) -> None:
    seen = [read_job(folder.root).state]
    with folder.locked():
        seen.append(read_job(folder.root).state)
        begin(folder, "corpus")
        seen.append(read_job(folder.root).state)
        tell_stage(folder)
        seen.append(read_job(folder.root).state)
        folder.live_stage("trajectories").unlink()
        finish(folder, "corpus")
        seen.append(read_job(folder.root).state)
        begin(folder, "passages")
    seen.append(read_job(folder.root).state)
    finish(folder, "passages")
    seen.append(read_job(folder.root).state)
    assert seen == [
        RunState.EMPTY, RunState.STARTING, RunState.STARTING, RunState.RUNNING, RunState.BETWEEN, RunState.STOPPED,
        RunState.DONE,
    ]  # fmt: skip


def test_looking_at_a_run_keeps_nobody_from_working_on_it(folder: RunFolder) -> None:
    with folder.locked():
        pass
    with (folder.root / LOCK).open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        threading.Timer(LOOK_SECONDS / 4, fcntl.flock, (look, fcntl.LOCK_UN)).start()
        with folder.locked():
            assert is_held(folder.root)


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[TestClient]:
    for name in ("harbour", "island"):
        make_run(tmp_path / "two" / name)
    with open_pages(tmp_path / "two") as client:
        client.get("/", params={"token": TOKEN})
        yield client


def test_pages_show_the_state_of_a_run(pages: TestClient, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "two" / "harbour")
    with folder.locked():
        assert "<h1>Starting</h1>" in pages.get("/harbour/live").text
        tell_stage(folder)
        page = pages.get("/harbour/live").text
        assert "<h1>trajectories</h1>" in page
        assert "10/40 tasks" in page
        assert "running: trajectories" in pages.get("/").text
        folder.live_stage("trajectories").unlink()
        begin(folder, "trajectories")
    assert "<h1>Stopped</h1>" in pages.get("/harbour/live").text
    assert ">stopped</a>" in pages.get("/").text


def test_rejected_inputs_do_not_displace_accepted_ones(folder: RunFolder) -> None:
    journal = folder.journal("trajectories", "000")
    journal.parent.mkdir(parents=True)
    only_rejects = b"".join(REJECT % number for number in range(20))
    journal.write_bytes(only_rejects + REJECT[:20])
    latest, size = read_latest(folder.root)
    assert (size, [one.key for one in latest[:2]], latest[0].made) == (
        journal.stat().st_size, ["task019", "task018"], "rejects: not_sampled",
    )  # fmt: skip
    journal.write_bytes(MADE % 1 + MADE % 2 + only_rejects)
    assert [one.key for one in read_latest(folder.root)[0]] == ["made002", "made001"]


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match="in use"):
            _listen(taken)
        monkeypatch.setattr("flows.cli.inspect_web.PORT", taken)
        with _listen(None) as next_free:
            assert taken < next_free.getsockname()[1] < taken + 50
        monkeypatch.setattr("flows.cli.inspect_web.PORTS", 1)
        with _listen(None) as any_free:
            assert any_free.getsockname()[1] != taken


@pytest.mark.slow
def test_the_command_ends_cleanly(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "rampforge", "inspect", "--web", str(make_run(tmp_path / "harbour"))]
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        for _ in range(2):
            done = subprocess.run([*words, "--port", taken], capture_output=True, text=True, timeout=100, check=False)
            assert done.returncode == 1
            assert f"port {taken}:" in done.stderr
            assert "terminate" not in done.stderr
    with subprocess.Popen([*words, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert httpx.get(process.stderr.readline().strip(), trust_env=False).status_code == 303  # it serves
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
            assert "terminate" not in process.stderr.read()
        finally:
            process.kill()
