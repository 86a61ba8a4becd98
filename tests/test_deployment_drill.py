"""The deployments for real: a Prefect server on PostgreSQL, workers that are cancelled and killed, the same bytes."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.command_line import rampforge
from tests.fault_server import FaultServer
from tests.headless_chromium import CHROMIUM, open_chromium
from tests.prefect_cluster import (
    POSTGRES,
    PREFECT,
    PrefectApi,
    find_port,
    kill_tree,
    run_postgres,
    run_process,
    wait_until,
)
from tests.sample_dump import write_dump
from tests.test_llm_job import answer
from tests.test_whole_job import hash_shards

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"),
]
CORPUS, NIGHT = "weekly-corpus/weekly-corpus", "nightly-trajectories/nightly-trajectories"
SECTIONS: dict[str, dict[str, object]] = {
    "corpus": {"pages_per_shard": 25},
    "masking": {"ner": None, "scorer": None, "selection": "random", "limit": 60},
    "agents": {"policy": "agents"},
    "judging": {"judge": "llm"},
    "execution": {"workers": 2},
}


@dataclass
class Drill:
    """What the drills work with."""

    folder: Path
    environment: dict[str, str]
    api: PrefectApi
    model: FaultServer

    @property
    def run(self) -> Path:
        (run,) = (self.folder / "out").iterdir()
        return run

    def worker(self, name: str) -> list[str]:
        return [*PREFECT, "worker", "start", "--pool", "rampforge", "--name", name]

    def count_calls(self) -> int:
        return sum(path.read_bytes().count(b"\n") for path in self.run.glob("calls/*/*.jsonl"))


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """A server on PostgreSQL, with our deployments on it."""
    folder, port = tmp_path_factory.mktemp("drill"), find_port()
    url = f"http://127.0.0.1:{port}/api"
    with run_postgres() as database, FaultServer() as model:
        model.answer = answer
        environment = os.environ | {
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "0",
            "PREFECT_API_URL": url,
            "DO_NOT_TRACK": "1",
        }
        words = [*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with run_process(words, environment, folder / "server.log"):
            drill = Drill(folder, environment, PrefectApi(url), model)
            wait_until("Prefect server", drill.api.is_up)
            deploy(drill)
            yield drill


def deploy(drill: Drill) -> None:
    dump = write_dump(drill.folder / "towns.xml.bz2", towns=60)
    llm = {"roles": {"default": {"model": "m"}}, "endpoints": {"local": {"url": drill.model.url}}, "in_flight": 2}
    sections = SECTIONS | {"corpus": {**SECTIONS["corpus"], "sources": [str(dump)]}, "llm": llm}
    (drill.folder / "job.yaml").write_text(yaml.safe_dump(sections))
    config = ["--config", str(drill.folder / "job.yaml")]
    for _ in range(2):  # the second time changes nothing
        out = str(drill.folder / "out")
        code, output = rampforge(drill.environment, "deploy", *config, "--out", out, "--limit", "2", "--paused")
        assert code == 0, output
    assert len(drill.api.post("automations/filter")) == 2
    code, output = rampforge(drill.environment, "run", *config, "--out", str(drill.folder), "--name", "undisturbed")
    assert code == 0, output
    drill.model.asked.clear()
    drill.model.answered.clear()


def test_scheduled_cancelled_killed_and_finished(drill: Drill) -> None:
    """One story: the corpus is made on schedule; its trajectories are cancelled, then lose their machine."""
    with run_process(drill.worker("first"), drill.environment, drill.folder / "first.log") as first:
        fire_on_schedule(drill)
        drill.model.latency = 0.7
        cancel_in_the_midst(drill)
        lost = drill.api.start(NIGHT)
        calls = drill.count_calls()
        wait_until("more calls", lambda: drill.count_calls() > calls + 20)
        kill_tree(first.pid)
    drill.model.latency = 0.0
    kept = drill.count_calls()
    with run_process(drill.worker("second"), drill.environment, drill.folder / "second.log"):
        state = drill.api.wait_for(lost, "Completed", seconds=400)
    assert "report is finished; report: " in state["message"]
    states = drill.api.states(lost)
    assert states[-5:] == ["Crashed", "AwaitingRetry", "Pending", "Running", "Completed"]
    assert kept < drill.count_calls()
    assert hash_shards(drill.run) == hash_shards(drill.folder / "undisturbed")
    artifacts = drill.api.artifacts(lost)
    assert {"funnel", "run", "report", "stage-judgements", "progress-judgements"} <= set(artifacts)
    if CHROMIUM is not None:
        photograph(drill, lost)


def photograph(drill: Drill, run: str) -> None:
    """What a person sees: the finished run with its artifacts, and the form of a deployment."""
    pages = str(drill.api.client.base_url).removesuffix("/api/")
    corpus, night = (drill.api.deployment(name)["id"] for name in (CORPUS, NIGHT))
    shots = {
        "run": (f"/runs/flow-run/{run}?tab=Artifacts", "Report of corpus-"),
        "funnel": (f"/runs/flow-run/{run}?tab=Details", "Completed"),
        "form": (f"/deployments/deployment/{corpus}/run", "Where pages come from"),
        "deployment": (f"/deployments/deployment/{night}", "nightly-trajectories"),
    }
    with open_chromium(drill.folder / "profile") as page:
        for name, (path, text) in shots.items():
            page.open(pages + path, 1400, 1100)
            seen = f"document.body.innerText.includes({json.dumps(text)})"
            wait_until(f"{text!r} on {path}", lambda seen=seen: page.evaluate(seen), 90)
            page.photograph(drill.folder / f"{name}.png", height=1100)


def fire_on_schedule(drill: Drill) -> None:
    """A schedule, due in a few seconds and then every day, brings the corpus about."""
    deployment = drill.api.deployment(CORPUS)["id"]
    due = (datetime.now(UTC) + timedelta(seconds=20)).isoformat()
    plan = [{"schedule": {"interval": 86400, "anchor_date": due}, "active": True, "slug": "drill"}]
    (schedule,) = drill.api.client.post(f"deployments/{deployment}/schedules", json=plan).raise_for_status().json()

    def find_finished() -> list[str]:
        wanted = {"state": {"type": {"any_": ["COMPLETED"]}}}
        runs = drill.api.post("flow_runs/filter", deployments={"id": {"any_": [deployment]}}, flow_runs=wanted)
        return [run["id"] for run in runs if run["auto_scheduled"]]

    (run,) = wait_until("scheduled run", find_finished, 400)
    drill.api.client.delete(f"deployments/{deployment}/schedules/{schedule['id']}").raise_for_status()
    assert {"funnel", "run", "stage-index"} <= set(drill.api.artifacts(run))
    assert (drill.run / "ledger" / "index" / "manifest.json").exists()


def cancel_in_the_midst(drill: Drill) -> None:
    """Calls in flight are answered, kept and never asked again."""
    run = drill.api.start(NIGHT)
    wait_until("calls", lambda: drill.count_calls() > 10)
    drill.api.cancel(run)
    drill.api.wait_for(run, "Cancelled")
    wait_until("the flow's end", lambda: is_free(drill.run))
    asked = sum(drill.model.asked.values())
    assert sum(drill.model.answered.values()) == asked == drill.count_calls()


def is_free(run: Path) -> bool:
    """Whether nobody holds the run's lock any more."""
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
