"""The deployments for real: a Prefect server on PostgreSQL, workers that are cancelled and killed, the same bytes."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.runs.test_llm_run import answer
from tests.runs.test_whole_run import hash_shards
from tests.support.command_line import rampforge
from tests.support.fault_server import FaultServer
from tests.support.headless_chromium import CHROMIUM, Page, open_chromium
from tests.support.prefect_cluster import (
    POSTGRES,
    PREFECT,
    PrefectApi,
    find_port,
    kill_tree,
    run_postgres,
    run_process,
    wait_until,
)
from tests.support.sample_dump import write_dump

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)"),
]
CORPUS, NIGHT = "weekly-corpus/weekly-corpus", "nightly-trajectories/nightly-trajectories"
GRAPH_SECONDS = 8.0
"""How long Prefect's page is given to draw tasks on a canvas that tells nobody when it is done."""
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
    states = [state for state in drill.api.states(lost) if state != "Submitting"]
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
    form = f"/deployments/deployment/{drill.api.deployment(CORPUS)['id']}/run"
    with open_chromium(drill.folder / "profile") as page:
        page.open(f"{pages}/runs/flow-run/{run}", 1400, 1100)
        wait_for_text(page, "Subflow Runs")
        wait_until("the graph", lambda: page.evaluate("document.querySelector('canvas') !== null"), 90)
        time.sleep(GRAPH_SECONDS)
        page.photograph(drill.folder / "run.png", height=1100)
        click_text(page, "Artifacts")
        wait_for_text(page, "stage-judgements")
        page.photograph(drill.folder / "artifacts.png", height=1100)
        page.open(pages + form, 1400, 1600)
        wait_for_text(page, "Sources of pages")
        page.photograph(drill.folder / "form.png", height=1600)


def wait_for_text(page: Page, text: str) -> None:
    seen = f"document.body.innerText.toLowerCase().includes({json.dumps(text.lower())})"
    wait_until(f"{text!r} on the page", partial(page.evaluate, seen), 90)


def click_text(page: Page, text: str) -> None:
    """Click with the mouse on the smallest element that says just this."""
    find = "[...document.querySelectorAll('*')].filter(e => e.textContent.trim() === %s).pop().getBoundingClientRect()"
    place = page.evaluate(
        f"(() => {{ const r = {find % json.dumps(text)}; return [r.x + r.width / 2, r.y + r.height / 2] }})()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)


def fire_on_schedule(drill: Drill) -> None:
    """A schedule of every thirty seconds brings the corpus about; it is taken back when it has fired."""
    deployment = drill.api.deployment(CORPUS)["id"]
    plan = [{"schedule": {"interval": 30}, "active": True, "slug": "drill"}]
    (schedule,) = drill.api.client.post(f"deployments/{deployment}/schedules", json=plan).raise_for_status().json()

    def find_runs(*states: str) -> list[str]:
        wanted = {"state": {"type": {"any_": list(states)}}}
        runs = drill.api.post("flow_runs/filter", deployments={"id": {"any_": [deployment]}}, flow_runs=wanted)
        return [run["id"] for run in runs if run["auto_scheduled"]]

    (run, *_) = wait_until("scheduled run", lambda: find_runs("RUNNING", "COMPLETED"))
    drill.api.client.delete(f"deployments/{deployment}/schedules/{schedule['id']}").raise_for_status()
    for later in find_runs("SCHEDULED", "PENDING"):
        drill.api.client.delete(f"flow_runs/{later}")
    drill.api.wait_for(run, "Completed")
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
