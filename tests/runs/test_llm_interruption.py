"""Ctrl-C in the midst of calls: what is in flight is ended and kept, and the run says how to go on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from tests.runs.test_llm_run import LIGHT, answer
from tests.support.command_line import Command, rampforge, start
from tests.support.fault_server import FaultServer
from tests.support.sample_dump import write_dump


def list_words(tmp_path: Path, url: str) -> list[str]:
    dump = write_dump(tmp_path / "towns.xml.bz2", towns=10)
    endpoints = f'llm.endpoints={{local: {{url: "{url}"}}}}'
    settings = [*LIGHT, "agents.policy=agents", 'llm.roles={default: {model: "m"}}', endpoints]
    return ["run", str(dump), "--out", str(tmp_path), "--name", "run", *[w for s in settings for w in ("--set", s)]]


def wait_for_calls(server: FaultServer, process: Command, answered: int) -> None:
    """Until so many were answered and others are in flight."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        if sum(server.answered.values()) >= answered and sum(server.asked.values()) >= answered + 4:
            return
        time.sleep(0.01)
    raise AssertionError(f"no calls: {process.communicate(timeout=10)}")


def count_calls(run: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (run / "calls" / "trajectories").glob("*.jsonl"))


def test_ctrl_c_keeps_what_is_in_flight(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with FaultServer(latency=1.5) as server:
        server.answer = answer
        process = start(prefect_server, *list_words(tmp_path, server.url), session=True)
        wait_for_calls(server, process, answered=12)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130, output
        assert f"`rampforge resume {run}`" in output
        assert "Traceback" not in output
        asked = sum(server.asked.values())
        assert sum(server.answered.values()) == asked == count_calls(run) > 12
        assert not (run / "live").exists()
        server.latency = 0.0
        code, output = rampforge(prefect_server, "resume", str(run))
        assert code == 0, output
        assert server.asked.most_common(1)[0][1] == 1, "no call is paid for twice"
        assert sum(server.asked.values()) > asked


def test_a_server_that_hangs_does_not_hold_ctrl_c_up(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    with FaultServer(lambda body, count: "hang") as server:
        words = [*list_words(tmp_path, server.url), "--set", "llm.limits.grace=0.5"]
        process = start(prefect_server, *words, session=True)
        wait_for_calls(server, process, answered=0)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "rampforge resume" in output


def test_a_stage_without_models_stops_at_once(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    """Twice: a second Ctrl-C, and workers that are still being started."""
    with FaultServer() as server:  # the start asks it for a token of each role
        process = start(prefect_server, *list_words(tmp_path, server.url), session=True)
        deadline = time.monotonic() + 200
        while not (tmp_path / "run" / "live").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output, output
