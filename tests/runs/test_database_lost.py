"""Prefect's own database is left alone; an API or a database that goes away in mid-run costs nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.runs.test_llm_interruption import list_words, wait_for_calls
from tests.runs.test_llm_run import answer
from tests.runs.test_whole_run import SETTINGS, hash_shards
from tests.support.command_line import Command, rampforge, start
from tests.support.fault_server import FaultServer
from tests.support.prefect_cluster import (
    POSTGRES,
    PREFECT,
    PrefectApi,
    find_port,
    run_postgres,
    run_process,
    wait_until,
)
from tests.support.sample_dump import write_dump

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """Where no server is named, and Prefect's home is our own."""
    named = {"PREFECT_HOME": str(tmp_path / "prefect"), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "0"}
    named["RAMPFORGE_CACHE"] = str(tmp_path / "cache")
    return {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"} | named


def check_finished(process: Command, model: FaultServer, said: str) -> None:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert said in output
    assert "Traceback" not in output
    assert "ERROR" not in output, "nor is anything said of what Prefect could not tell"
    assert model.asked.most_common(1)[0][1] == 1, "no call is paid for twice"


def check_bytes(tmp_path: Path, words: list[str], prefect_server: Mapping[str, str]) -> None:
    """The run has the bytes of one that nothing befell."""
    (tmp_path / "run").rename(tmp_path / "befallen")
    code, output = rampforge(prefect_server, *words)
    assert code == 0, output
    assert hash_shards(tmp_path / "befallen") == hash_shards(tmp_path / "run")


def test_a_database_in_prefects_home_is_unchanged(tmp_path: Path, alone: dict[str, str]) -> None:
    """Locked, broken or whole: a run has a database of its own, which goes with it."""
    there = Path(alone["PREFECT_HOME"]) / "prefect.db"
    there.parent.mkdir()
    there.write_bytes(b"no database " * 1000)
    dump = str(write_dump(tmp_path / "towns.xml.bz2", towns=6))
    words = ["run", dump, "--out", str(tmp_path), "--name", "run", *SETTINGS]
    for code, output in (rampforge(alone, *words), rampforge(alone, *words, "--redo", "chunk")):
        assert code == 0, output
        assert "Prefect" not in output
        assert "Traceback" not in output
    assert there.read_bytes() == b"no database " * 1000
    kept = sorted(path.name for path in (tmp_path / "cache" / "prefect").iterdir())
    assert [name.partition("-")[0] for name in kept] == ["lock", "template"]


def test_an_api_that_dies_in_mid_run_costs_no_call_and_no_row(
    tmp_path: Path, alone: dict[str, str], prefect_server: Mapping[str, str]
) -> None:
    with FaultServer(latency=0.7) as model:
        model.answer = answer
        words = list_words(tmp_path, model.url)
        process = start(alone, *words)
        wait_for_calls(model, process, answered=6)
        for child in psutil.Process(process.pid).children(recursive=True):
            if "uvicorn" in child.cmdline():
                child.kill()
        check_finished(process, model, "Prefect's temporary API is gone")
        check_bytes(tmp_path, words, prefect_server)


@pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)")
def test_a_postgresql_that_stops_under_the_server_costs_no_call_and_no_row(
    tmp_path: Path, alone: dict[str, str], prefect_server: Mapping[str, str]
) -> None:
    port = find_port()
    url = f"http://127.0.0.1:{port}/api"
    serve = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with FaultServer(latency=0.7) as model, ExitStack() as stack:
        model.answer = answer
        words = list_words(tmp_path, model.url)
        with run_postgres() as database:
            on_it = alone | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database}
            stack.enter_context(run_process(serve, on_it, tmp_path / "server.log"))
            wait_until("Prefect server", PrefectApi(url).is_up)
            process = start(alone | {"PREFECT_API_URL": url}, *words)
            wait_for_calls(model, process, answered=6)
        check_finished(process, model, "is gone: the run continues without it")  # it is up, without a database
        assert (tmp_path / "run" / "logs" / "unreported.json").exists()
        check_bytes(tmp_path, words, prefect_server)
