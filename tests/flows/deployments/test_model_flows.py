"""The deployments that make and measure models, through a worker: a distillation round by round, an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.command_line import rampforge
from tests.support.distill_lab import SETTINGS, Lab
from tests.support.prefect_cluster import PREFECT, PrefectApi, run_process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUND, EVALUATION = "distillation-round/distillation-round", "evaluation/evaluation"
SHORT = ["distill.rounds=1", "distill.student.enabled=false", "distill.validation.tasks=0"]


def write_questions(path: Path, run: Path) -> Path:
    """Three questions that the passages of a run answer."""
    founded = re.compile(r"^(\w+) is a market town .*?founded in (\d+) by", re.DOTALL)
    texts = pq.read_table(run / "documents").column("text").to_pylist()
    found = [match for text in texts if (match := founded.match(text))]
    rows = [
        {"id": match[1], "question": f"When was the market town {match[1]} founded?", "answers": [match[2]]}
        for match in found[:3]
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_round_for_each_flow_run_and_an_evaluation(prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    lab, api = Lab(tmp_path, prefect_server), PrefectApi(prefect_server["PREFECT_API_URL"])
    settings = [*SETTINGS, f"distill.base={lab.base}", f"corpus.sources=[{json.dumps(str(lab.dump))}]", *SHORT]
    words = ["deploy", "distillation-round", "evaluation", "--out", str(lab.root.parent), "--paused"]
    code, output = rampforge(lab.environment, *words, *[word for one in settings for word in ("--set", one)])
    assert code == 0, output
    log = tmp_path / "worker.log"
    with run_process([*PREFECT, "worker", "start", "--pool", "rampforge"], lab.environment, log):
        for rounds in (1, 2, 2):  # the cold start, the one round that is wanted, and no more
            run = api.start(ROUND, name="loop")
            state = api.wait_for(run, "Completed")
            report = lab.distilled.report
            assert state["message"] == f"{lab.root}: rounds finished: {rounds}; report: {report}"
            artifacts = api.artifacts(run)
            assert len(json.loads(artifacts["rounds"]["data"])) == rounds
            assert report.as_uri() in artifacts["report"]["data"]
        assert [line["begun"] for line in lab.log("train")] == [0]
        assert lab.distilled.records()[1].accepted > 0
        questions = write_questions(tmp_path / "towns.jsonl", lab.distilled.base.root)
        run = api.start(EVALUATION, benchmark=str(questions), method="extractive", run="loop/base")
        message = api.wait_for(run, "Completed")["message"]
        assert ": 3 of 3 answers; report: " in message
        page = Path(message.rpartition("report: ")[2])
        assert page.read_text().startswith("<!doctype html>")
        artifacts = api.artifacts(run)
        assert page.as_uri() in artifacts["report"]["data"]
        recall = [row for row in json.loads(artifacts["evaluation"]["data"]) if row["metric"] == "recall"]
        assert recall[0]["questions"] == 3
        refused = api.start(EVALUATION)
        message = api.wait_for(refused, "Failed")["message"]
        assert "benchmark is empty: no questions to answer" in message
        assert "name a file of questions in the form" in message
