"""The whole job through the command line, against a Prefect server: kill -9 in every stage, resume, refuse."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import duckdb
import httpx
import pytest

from flows.stages import registry
from flows.stages.registry import list_scaled_stages
from pipeline.planning.scaling import measure_amounts, scale_up
from pipeline.storage.hashing import hash_file
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.scale_plan import MachineFleet, WikiSize
from tests.support.command_line import Command, rampforge, start
from tests.support.sample_dump import write_dump

STAGES = [spec.name.value for spec in registry.STAGES.values() if spec.enabled(RunConfig())]
KILLED = ("chunk", "index", "trajectories")
"""A stage of shards, one without, and one that searches: all run under the same runner, whose kills at every input
tests/pipeline/storage covers. The other stages are killed by the slow tests."""
# No model: the job of every stage is done, in seconds.
LIGHT = "masking.ner=null masking.scorer=null masking.selection=random corpus.pages_per_shard=25 execution.workers=2"
ASKED = 5_000
"""Tasks asked for: more than the passages give."""
SETTINGS = [part for setting in [*LIGHT.split(), f"masking.limit={ASKED}"] for part in ("--set", setting)]


@pytest.fixture(scope="session")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dump(tmp_path_factory.mktemp("dump") / "towns.xml.bz2", towns=60)


@pytest.fixture(scope="session")
def whole_run(prefect_server: Mapping[str, str], dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    code, output = rampforge(prefect_server, "run", str(dump), "--out", str(out), "--name", "whole", *SETTINGS)
    assert code == 0, output
    made = RunFolder(out / "whole").manifest("tasks").rows("tasks")
    assert output.count(f"{made:,} of the {ASKED:,} tasks") == 1, output
    return out / "whole"


def hash_shards(run: Path) -> dict[str, str]:
    """Checksum of every Parquet file, by its place in the run."""
    return {str(path.relative_to(run)): hash_file(path) for path in sorted(run.glob("*/part-*.parquet"))}


def count_rows(pattern: Path, column: str = "*") -> int:
    ((count,),) = duckdb.connect().execute(f"SELECT count({column}) FROM '{pattern}'").fetchall()
    return int(count)


def test_a_whole_run_leaves_readable_shards(whole_run: Path) -> None:
    attempts = count_rows(whole_run / "trajectories" / "part-*.parquet")
    assert attempts > 50
    judged = whole_run / "judgements" / "*.parquet"
    assert count_rows(judged) == count_rows(judged, "DISTINCT trajectory_id") == attempts
    for dataset in ("documents", "passages", "tasks", "trajectories", "judgements", "rejects"):
        folder = whole_run / dataset
        cache = str(whole_run.parent / "hf")
        loaded = datasets.load_dataset("parquet", data_dir=str(folder), split="train", cache_dir=cache)
        assert count_rows(folder / "*.parquet") == loaded.num_rows
    report = (whole_run / "report.html").read_text()
    assert report.startswith("<!doctype html>")
    assert report.count(f"of the {ASKED:,} tasks") == 1


def test_funnel_of_every_stage_meets_the_next(whole_run: Path) -> None:
    run = RunFolder(whole_run)
    steps = {(step.stage, step.unit): step for step in run.record().funnel}
    assert steps["corpus", "page"].entered == 132
    assert steps["corpus", "page"].rejected["redirect"] == 60
    assert steps["chunk", "document"].entered == steps["corpus", "page"].passed
    assert steps["dedup", "passage"].entered == steps["chunk", "passage"].passed
    assert steps["spans", "passage"].entered == steps["dedup", "passage"].passed
    assert steps["tasks", "passage"].entered == steps["spans", "passage"].passed
    assert steps["judgements", "trajectory"].entered == run.manifest("trajectories").rows("trajectories")
    rejects = (
        duckdb.connect()
        .execute(f"SELECT stage, unit, reason, count(*) FROM '{whole_run}/rejects/*.parquet' GROUP BY ALL")
        .fetchall()
    )
    assert {(s, u, r): n for s, u, r, n in rejects} == {
        (step.stage, step.unit, reason): count for step in steps.values() for reason, count in step.rejected.items()
    }


def test_prefect_shows_the_funnel_and_the_way_to_the_report(whole_run: Path, prefect_server: Mapping[str, str]) -> None:
    def find(what: str, **filters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.post(f"{what}/filter", json={"limit": 200, **filters}).json()
        return found

    with httpx.Client(base_url=prefect_server["PREFECT_API_URL"] + "/", trust_env=False) as client:
        runs = find("artifacts", artifacts={"key": {"any_": ["run"]}})
        (of_run,) = [run for run in runs if (whole_run / "report.html").as_uri() in run["data"]]
        only = {"any_": [of_run["flow_run_id"]]}
        artifacts = find("artifacts", artifacts={"flow_run_id": only})
        tasks = find("task_runs", flow_runs={"id": only})
    (funnel,) = [artifact for artifact in artifacts if artifact["key"] == "funnel"]
    assert funnel["type"] == "table"
    assert '"judgements"' in funnel["data"]
    of_stages = {artifact["key"]: artifact for artifact in artifacts}
    assert {f"stage-{stage}" for stage in STAGES} < set(of_stages)
    assert {of_stages[f"progress-{stage}"]["data"] for stage in STAGES if stage != "corpus"} == {100.0}
    assert "000-00000" in {task["name"] for task in tasks}, "a task is one shard"


@pytest.mark.parametrize(
    "stage", [stage if stage in KILLED else pytest.param(stage, marks=pytest.mark.slow) for stage in STAGES]
)
def test_killed_and_resumed_run_equals_an_uninterrupted_one(
    stage: str, prefect_server: Mapping[str, str], dump: Path, whole_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "whole"
    process = start(prefect_server, "run", str(dump), "--out", str(tmp_path), "--name", "whole", *SETTINGS)
    wait_for_stage(run, stage, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "ledger" / "report" / "manifest.json").exists()
    code, output = rampforge(prefect_server, "resume", str(run))
    assert code == 0, output
    assert hash_shards(run) == hash_shards(whole_run)
    assert [path for path in run.rglob("*") if path.name.endswith((".tmp", ".jsonl"))] == []


def wait_for_stage(run: Path, stage: str, process: Command) -> None:
    """Until the stage has begun and, where it has shards, journalled or finished something."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        begun = (run / "ledger" / stage / "stage.json").exists()
        worked = stage in ("index", "report") or any((run / "ledger" / stage / "shards").glob("*.json"))
        worked = worked or any(path.stat().st_size for path in (run / "journals" / stage).glob("*.jsonl"))
        if begun and worked:
            return
        time.sleep(0.001)
    raise AssertionError(f"{stage} never began: {process.communicate(timeout=10)}")


def test_a_changed_configuration_is_refused(prefect_server: Mapping[str, str], dump: Path, whole_run: Path) -> None:
    words = ["run", str(dump), "--out", str(whole_run.parent), "--name", "whole", *SETTINGS]
    code, output = rampforge(prefect_server, *words, "--set", "search.k=9")
    assert code == 1
    assert "search.k was 3, now 9" in " ".join(output.split())
    assert "Traceback" not in output
    code, output = rampforge(prefect_server, *words, "--set", "execution.workers=1")
    assert code == 0, output


def test_a_plan_for_the_size_of_the_run_matches_it(whole_run: Path) -> None:
    run = RunFolder(whole_run)
    record = run.record()
    seen = measure_amounts(run, record)
    own = WikiSize(name="own", articles=72, words=int(seen.words), dump_bytes=1, source="this test")
    plan = scale_up(run, record, own, int(seen.attempts), MachineFleet(cores=2), list_scaled_stages())
    steps = {(step.stage, step.unit): step for step in record.funnel}
    assert plan.tasks == steps["trajectories", "task"].entered
    assert plan.passages == steps["dedup", "passage"].passed
    stages = {need.stage: need for need in plan.stages}
    assert set(stages) == set(STAGES) - {"report"}
    work = {timing.stage: timing.work_seconds for timing in record.timings}
    for name, need in stages.items():
        assert need.core_hours * 3600 == pytest.approx(work[name])
    shards = sum(path.stat().st_size for path in whole_run.glob("*/part-*.parquet"))
    index = sum(path.stat().st_size for path in run.index.rglob("*") if path.is_file())
    assert plan.bytes == pytest.approx(shards + index + 1)


def test_a_plan_for_twice_the_words_doubles_the_chunking_only(whole_run: Path) -> None:
    run = RunFolder(whole_run)
    record = run.record()
    seen = measure_amounts(run, record)
    words, attempts = int(seen.words), int(seen.attempts)
    once, twice = (
        {
            need.stage: need
            for need in scale_up(
                run,
                record,
                WikiSize(name="w", articles=1, words=words * times, dump_bytes=1, source="-"),
                attempts,
                MachineFleet(machines=times, cores=2),
                list_scaled_stages(),
            ).stages
        }
        for times in (1, 2)
    )
    assert twice["chunk"].core_hours == pytest.approx(2 * once["chunk"].core_hours)
    assert twice["chunk"].hours == pytest.approx(once["chunk"].hours)
    assert twice["index"].hours == pytest.approx(2 * (once["index"].hours or 0)), "one machine builds it"
    assert twice["trajectories"].core_hours == pytest.approx(once["trajectories"].core_hours)


def test_a_plan_for_an_unknown_wiki_is_refused(
    prefect_server: Mapping[str, str], whole_run: Path, tmp_path: Path
) -> None:
    code, output = rampforge(prefect_server, "plan", "--scale", "marswiki", "--from", str(whole_run))
    assert code == 1
    assert "enwiki" in output
    mine = tmp_path / "mine.yaml"
    mine.write_text("{articles: 10, words: 7000, dump_bytes: 1, source: me}")
    words = ("plan", "--scale", str(mine), "--from", str(whole_run), "--json")
    code, output = rampforge(prefect_server, *words)
    assert code == 1, "ten million attempts need more passages than there are"
    (most,) = re.findall(r"--trajectories (\d+)", output)
    code, output = rampforge(prefect_server, *words, "--trajectories", most)
    assert code == 0, output
    assert json.loads(output)["wiki"]["words"] == 7000
    assert rampforge(prefect_server, *words, "--trajectories", str(int(most) + 9))[0] == 1
