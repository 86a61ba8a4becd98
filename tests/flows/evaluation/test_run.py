"""`rampforge eval` as a user runs it: methods, bad models, kill -9, comparing."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.evaluation.run import read_result
from flows.monitoring.shard_heartbeat import count_lines
from pipeline.errors import RampforgeError
from pipeline.storage.run_folder import RunFolder
from schemas.evaluations import EvaluationResult, MetricName
from tests.support.command_line import start
from tests.support.eval_samples import TOWNS, answer_roles, write_corpus, write_questions
from tests.support.fault_server import FaultServer

MODEL = ["llm.roles={default: {model: m}}", "agents.temperature=0", "llm.limits.min_deadline=30"]


@pytest.fixture
def town(tmp_path: Path) -> list[str]:
    """Words that every evaluation of the town has."""
    questions, corpus = write_questions(tmp_path), write_corpus(tmp_path)
    return ["eval", "--benchmark", str(questions), "--corpus", str(corpus), "--out", str(tmp_path / "out")]


def set_keys(server: FaultServer, *more: str) -> list[str]:
    settings = [*MODEL, f'llm.endpoints={{local: {{url: "{server.url}"}}}}', *more]
    return [word for setting in settings for word in ("--set", setting)]


def run(*words: str) -> str:
    """What is printed, on one line."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (result.output, result.exception)
    return " ".join(result.output.split())


def refuse(*words: str) -> str:
    """What is said instead of a traceback."""
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, RampforgeError), (result.output, result.exception)
    return f"{result.exception.what} {result.exception.fix}"


def read_rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "evaluations").to_pylist()
    return rows


def hash_rows(folder: Path) -> str:
    commit = RunFolder(folder).find_commit("evaluation", "0")
    assert commit is not None
    return next(file.sha256 for file in commit.files if file.dataset == "evaluations")


def check_sums(result: EvaluationResult) -> None:
    assert result.offered == TOWNS + 1 == result.questions + sum(result.rejected.values()) + result.sampled_out
    assert result.answers == result.questions * result.runs == result.finished + sum(result.unfinished.values())


def test_extractive_needs_no_model_and_goes_on_only_as_begun(town: list[str], tmp_path: Path) -> None:
    output = run(*town, "--method", "extractive", "--runs", "2")
    folder = tmp_path / "out" / "towns-extractive"
    result = read_result(folder)
    check_sums(result)
    assert result.rejected == {"no_answer": 1}
    assert [group.name for group in result.groups] == ["all", "even", "odd"]
    assert result.support == 1
    assert result.metrics[MetricName.RECALL].spread == 0
    assert "24 answers (12 questions x 2 runs)" in output
    assert "Left out of 13 rows: no_answer 1." in output
    before = hash_rows(folder), (folder / "results.json").read_bytes(), (folder / "results.html").read_bytes()
    run(*town, "--method", "extractive", "--runs", "2")
    assert before == (hash_rows(folder), (folder / "results.json").read_bytes(), (folder / "results.html").read_bytes())
    said = refuse(*town, "--method", "extractive", "--runs", "3")
    assert "eval.runs was 2, now 3" in said
    assert "--name" in said


def test_prompted_methods_with_a_judge(town: list[str], tmp_path: Path) -> None:
    with FaultServer() as server:
        server.answer = answer_roles
        for method in ("rag-pe", "agent-pe"):
            run(*town, "--method", method, "--judge", "--runs", "2", *set_keys(server))
    for method, calls in (("rag-pe", 1), ("agent-pe", 3)):
        folder = tmp_path / "out" / f"towns-{method}"
        result = read_result(folder)
        check_sums(result)
        assert {metric.mean for metric in result.metrics.values()} == {1}
        assert MetricName.JUDGED in result.metrics
        rows = read_rows(folder)
        assert {sum(usage["calls"] for usage in row["usage"]) for row in rows} == {calls + 1}
        assert {row["stop"] for row in rows} == {"answered"}
        assert all(row["prompts"] and row["shown"] for row in rows)
        names = {prompt["name"] for row in rows for prompt in row["prompts"]}
        assert ("plan_question.en" in names) == (method == "agent-pe")


def test_a_model_that_answers_rubbish_is_worth_nothing_and_counts(town: list[str], tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        prompt = str(body["messages"][0]["content"])
        if "Tarn Abbey" in prompt.split("<task>")[-1]:
            return {"content": "word " * 50}
        return answer_roles(body) if "Tarn Birch" not in prompt.split("<task>")[-1] else {"content": '{"answer": null}'}

    with FaultServer(lambda body, _: "overflow" if "of Tarn Cedar" in str(body) else "ok") as server:
        server.answer = answer
        run(*town, "--method", "rag-pe", *set_keys(server))
    result = read_result(tmp_path / "out" / "towns-rag-pe")
    check_sums(result)
    assert result.unfinished == {"context_overflow": 1, "gave_up": 1, "unreadable_reply": 1}
    assert result.metrics[MetricName.RECALL].mean == pytest.approx(9 / 12)


def test_kill_9_repeats_no_answered_call_and_changes_no_row(town: list[str], tmp_path: Path) -> None:
    words = [*town, "--method", "agent-pe", "--name"]
    with FaultServer(latency=0.1) as server:
        server.answer = answer_roles
        keys = set_keys(server, "llm.in_flight=2")
        process = start(os.environ, *words, "killed", *keys)
        journal = tmp_path / "out" / "killed" / "calls" / "evaluation" / "0.jsonl"
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline and count_lines(journal) < 10:
            time.sleep(0.02)
        process.kill()
        output, _ = process.communicate()
        assert journal.exists(), output
        kept = count_lines(journal)
        time.sleep(1.0)  # what was in flight is answered to nobody, and counts as answered
        answered = server.answered.total()
        assert 10 <= kept < 3 * TOWNS, "it was killed on the way"
        run(*words, "killed", *keys)
        assert server.answered.total() - 3 * TOWNS <= answered - kept
        run(*words, "whole", *keys)
    assert hash_rows(tmp_path / "out" / "killed") == hash_rows(tmp_path / "out" / "whole")


def test_comparing(town: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with FaultServer() as server:
        server.answer = answer_roles
        run(*town, "--method", "extractive", "--name", "base")
        run(*town, "--method", "rag-pe", "--name", "other", *set_keys(server))
        run(*town, "--method", "rag-pe", "--name", "narrow", *set_keys(server, "search.k=1"))
        run(*town, "--method", "rag-pe", "--name", "fewer", "--sample", "5", *set_keys(server))
    output = run("eval", "--compare", str(out / "base"), str(out / "other"))
    assert "p, paired" in output
    assert (out / "other" / "comparison.html").is_file()
    for name, reason in (("narrow", "passages shown for a step: 3 and 1"), ("fewer", "questions: ")):
        assert reason in refuse("eval", "--compare", str(out / "base"), str(out / name))
        assert "Forced" in run("eval", "--compare", str(out / "base"), str(out / name), "--force")
    assert json.loads((out / "fewer" / "results.json").read_bytes())["sampled_out"] == TOWNS - 5


def test_mistakes_are_one_line(town: list[str], tmp_path: Path) -> None:
    assert "no model plays the role answerer" in refuse(*town, "--method", "rag-pe")
    assert "no such file" in refuse("eval", "--benchmark", "nowhere.json")
    assert "give --index" in refuse(*town[:3], "--out", str(tmp_path / "out"), "--method", "extractive", "--name", "x")
    assert "benchmark" in refuse("eval")
    assert "two evaluations" in refuse("eval", "--compare", str(tmp_path))
    assert "no results.json" in refuse("eval", "--compare", str(tmp_path), str(tmp_path))
