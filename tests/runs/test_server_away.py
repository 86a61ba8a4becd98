"""Prefect's server is down at the start or goes down in mid-run: the run ends here, the server hears of it later."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.serving.bound_process import BoundProcess
from tests.runs.test_llm_interruption import list_words, wait_for_calls
from tests.runs.test_llm_run import answer
from tests.runs.test_whole_run import SETTINGS, hash_shards
from tests.support.command_line import rampforge, start
from tests.support.fault_server import FaultServer
from tests.support.prefect_cluster import PREFECT, PrefectApi, find_port, kill_tree, run_process, wait_until
from tests.support.sample_dump import write_dump
from tests.support.scripted_http import Said, ScriptedHttp

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def run_server(home: Path, port: int) -> Iterator[BoundProcess]:
    """A Prefect server with a database of its own, which outlives it."""
    words = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with run_process(words, name_server(home, port), home.with_suffix(".log")) as server:
        wait_until("Prefect server", PrefectApi(f"http://127.0.0.1:{port}/api").is_up)
        yield server


def name_server(home: Path, port: int) -> dict[str, str]:
    told = {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0"}
    return os.environ | told | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}


def test_a_server_that_is_down_at_the_start_gets_the_report_later(tmp_path: Path) -> None:
    home, port, run = tmp_path / "prefect", find_port(), tmp_path / "run"
    environment = name_server(home, port)
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=6))
    code, output = rampforge(environment, "run", dump, "--out", str(tmp_path), "--name", "run", *SETTINGS)
    assert code == 0, output
    assert "does not answer: the run continues without it" in output
    assert "Traceback" not in output
    assert (run / "logs" / "unreported.json").exists()
    with run_server(home, port):
        code, output = rampforge(environment, "resume", str(run))
        assert code == 0, output
        api = PrefectApi(environment["PREFECT_API_URL"])
        states = [flow_run["state"] for flow_run in api.post("flow_runs/filter")]
    late = [state["message"] for state in states if "unavailable" in (state["message"] or "")]
    assert len(late) == 1
    assert {state["type"] for state in states} == {"COMPLETED"}
    assert not (run / "logs" / "unreported.json").exists()


def test_a_page_in_place_of_the_server_is_a_server_that_is_away(tmp_path: Path) -> None:
    page = Said(body=b"<!doctype html><html><body>Prefect</body></html>", headers={"Content-Type": "text/html"})
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=6))
    with ScriptedHttp(lambda *_: page) as server:
        environment = name_server(tmp_path / "prefect", server.port)
        code, output = rampforge(environment, "run", dump, "--out", str(tmp_path), "--name", "run", *SETTINGS)
    assert code == 0, output
    assert (tmp_path / "run" / "report.html").exists()


def test_a_server_that_dies_in_mid_run_costs_no_call_and_no_row(
    tmp_path: Path, prefect_server: Mapping[str, str]
) -> None:
    home, port = tmp_path / "prefect", find_port()
    with FaultServer(latency=0.7) as model:
        model.answer = answer
        words = list_words(tmp_path, model.url)
        with run_server(home, port) as server:
            process = start(name_server(home, port), *words)
            wait_for_calls(model, process, answered=6)
            kill_tree(server.pid)
        started = time.monotonic()
        output, _ = process.communicate(timeout=400)
        assert process.returncode == 0, output
        assert "is gone: the run continues without it" in output
        assert "Traceback" not in output
        assert "ERROR" not in output, "nor is anything said of what Prefect could not tell"
        assert model.asked.most_common(1)[0][1] == 1, "no call is paid for twice"
        (tmp_path / "run").rename(tmp_path / "away")
        code, undisturbed = rampforge(prefect_server, *words)
        assert code == 0, undisturbed
    assert hash_shards(tmp_path / "away") == hash_shards(tmp_path / "run")
    assert time.monotonic() - started < 400
