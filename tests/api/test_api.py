"""The Python API over a real run: what it returns, and that every error is one of rampforge's."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import rampforge
from schemas.judgements import Judgement
from schemas.tasks import MaskTask
from tests.api.conftest import LIGHT
from tests.support.places import REPOSITORY


def test_a_run_is_read(small_run: rampforge.Run) -> None:
    assert (small_run.name, small_run.config.masking.limit) == ("pilot", 12)
    assert small_run.record.run == "pilot"
    assert all(step.entered == step.passed + sum(step.rejected.values()) for step in small_run.funnel)
    assert small_run.report.is_file()
    assert {"tasks", "trajectories", "judgements"} <= set(small_run.datasets)
    table = small_run.table("tasks", columns=["task_id", "mask_count"])
    assert table.column_names == ["task_id", "mask_count"]
    assert table.num_rows == sum(pq.read_metadata(path).num_rows for path in small_run.files("tasks"))
    tasks = list(small_run.records("tasks"))
    assert all(isinstance(task, MaskTask) for task in tasks)
    assert [task.key for task in tasks] == table["task_id"].to_pylist()


def test_a_dataset_is_opened(small_run: rampforge.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    judgements = small_run.dataset("judgements")
    assert judgements["verdict"] == [
        row.verdict for row in small_run.records("judgements") if isinstance(row, Judgement)
    ]


def test_trajectories_are_found(small_run: rampforge.Run) -> None:
    (card,) = small_run.trajectories("turns > 0", limit=1)
    assert small_run[card.example.trajectory.trajectory_id].page() == card.page()
    assert small_run.rows("attempts", limit=2)[0].keys() >= {"trajectory_id", "accepted"}
    assert "<table" in small_run._repr_html_()


def test_a_run_goes_on_in_a_notebook(small_run: rampforge.Run) -> None:
    before = small_run.report.stat().st_mtime_ns

    async def run_cell() -> rampforge.Run:
        return rampforge.resume(small_run, settings={"execution.workers": 1}, stages=["report"], redo="report")

    assert asyncio.run(run_cell()).report.stat().st_mtime_ns > before


def test_an_engine_is_queried(small_run: rampforge.Run) -> None:
    search = rampforge.Search(small_run)
    title = small_run.table("passages")["title"][0].as_py()
    found = search.ask(title, k=2)
    assert found[0].score >= found[1].score
    assert title in {passage.title for passage in search.ask(title)}
    assert search.ask_all([title, "zzzz"], k=2) == [found, []]
    assert search.fingerprint


def test_a_run_is_exported(small_run: rampforge.Run, tmp_path: Path) -> None:
    done = rampforge.export(small_run, "verl-rl", tmp_path / "rows", tasks="all", split=0.0)
    assert done.folder == tmp_path / "rows"
    assert sum(done.files.values()) > 0
    assert (tmp_path / "rows" / "README.md").is_file()


def test_answers_are_judged() -> None:
    judge = rampforge.Judge()
    assert judge.judge("the Elbe", ["Elbe", "River Elbe"]).correct
    wrong = judge.judge("Rhine", ["Elbe"])
    assert (wrong.verdict, wrong.judge) == (rampforge.Verdict.INCORRECT, "rules")


def test_configurations_of_any_kind_are_taken(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("corpus: {sources: [nowhere.xml]}\n")
    for config in (tmp_path / "mine.yaml", {"corpus": {"sources": "nowhere.xml"}}):
        with pytest.raises(rampforge.ConfigError):
            rampforge.run(config=config, settings=LIGHT, out=tmp_path)
    assert not (tmp_path / "mine").exists()
    made = rampforge.open_run(project / "outputs" / "pilot").config
    with pytest.raises(rampforge.ConfigError):  # another configuration than that of the run
        rampforge.run(config=made, settings={"seed": 5}, out=project / "outputs", name="pilot")


def test_every_line_of_the_readme_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (REPOSITORY / "README.md").read_text().split("## From Python\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    monkeypatch.chdir(project)
    names: dict[str, Any] = {}
    values = []
    for line in filter(None, block.splitlines()):
        mode = "eval" if re.match(r"(run\.|rampforge)", line) else "exec"
        values.append(eval(compile(line, "README.md", mode), names))  # noqa: S307 - our own text
    _, _, _, table, cards, _, done, found, right = values
    assert len(table) == 12
    assert cards
    assert found
    assert right
    assert sum(done.files.values()) > 0


def test_errors_are_those_of_rampforge(small_run: rampforge.Run, tmp_path: Path) -> None:
    with pytest.raises(rampforge.StorageError):
        rampforge.open_run(tmp_path)
    with pytest.raises(rampforge.StorageError):
        small_run.table("nothing")
    with pytest.raises(rampforge.ConfigError):
        rampforge.run()
    with pytest.raises(rampforge.ConfigError):
        rampforge.run("dump.xml", "no-such-preset")
    with pytest.raises(rampforge.ConfigError):
        rampforge.resume(small_run, settings={"masking.limits": 3})
    with pytest.raises(rampforge.ConfigError):
        rampforge.resume(small_run, stages=["jugements"])
    with pytest.raises(rampforge.ConfigError):
        rampforge.export(small_run, "trll")
    with pytest.raises(rampforge.ConfigError):
        rampforge.export(small_run, "trl", split=3)
    with pytest.raises(rampforge.ConfigError):
        rampforge.Judge(settings={"judging.judge": "llm"})
    with pytest.raises(rampforge.ConfigError):
        rampforge.Judge().judge("Elbe", "Elbe")
    with pytest.raises(rampforge.SearchError):
        rampforge.Search(tmp_path)
    with pytest.raises(rampforge.RampforgeError):
        small_run.rows("tasks", "no such column")
