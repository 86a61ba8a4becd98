"""The loop through the command line, with scripted trainers and servers: rounds, kill -9 in every step, faults."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.storage.hashing import hash_file
from schemas.training import RlRequest
from tests.support.command_line import Command, start
from tests.support.distill_lab import TIMEOUT, Lab
from tests.support.eval_samples import write_corpus, write_questions
from tests.support.scripted_distillation import read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * TIMEOUT)]


@pytest.fixture
def lab(prefect_server: Mapping[str, str], tmp_path: Path) -> Lab:
    return Lab(tmp_path, prefect_server)


@pytest.fixture(scope="module")
def finished(prefect_server: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("finished"), prefect_server)
    lab.say(wobbles=True)  # so that some tasks are solved sometimes
    code, output = lab.run("distill.student.rl={steps: 2, gpus: 0, max_prompt: 4096, max_completion: 3900}")
    assert code == 0, output
    return lab


def read(run: Path, dataset: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(run / dataset).to_pylist()
    return rows


def test_rounds_make_fresh_tasks_and_better_teachers(finished: Lab) -> None:
    folder = finished.distilled
    records = folder.records()
    assert [record.policy for record in records] == ["extractive", "teacher-r1", "teacher-r2"]
    assert [record.tasks for record in records] == [12, 8, 8]
    assert [record.mask_counts for record in records] == [(1,), (1, 2), (1, 2)]
    recalls = [record.validation.recall for record in records if record.validation]
    assert len(recalls) == 3
    assert recalls[0] == 0.0, "the base model knows nothing"
    assert recalls[2] > 0.5
    assert records[2].accepted > 0
    assert len(records[2].inputs) == 2
    assert records[2].stop == "all 2 rounds are done"
    hidden: set[tuple[str, int, int]] = set()
    for run in (folder.validated(0), *(folder.round(number) for number in range(3))):
        for task in read(run.root, "tasks"):
            spans = {(task["passage_id"], span["start"], span["end"]) for span in task["spans"]}
            assert not spans & hidden
            hidden |= spans
    pages = {row["document_id"] for n in range(3) for row in read(folder.round(n).root, "tasks")}
    assert not pages & {row["document_id"] for row in read(folder.validated(2).root, "tasks")}
    assert [line["out"].rsplit("/", 2)[1:] for line in finished.log("train")] == [
        ["teachers", "round-01"],
        ["teachers", "round-02"],
        ["after-round-02", "sft"],
        ["after-round-02", "rl"],
    ]
    measured = {
        row["task_id"]: row["solved"] / row["searched"] for row in read(folder.student(2) / "union-rl", "difficulties")
    }
    learned = {row["task_id"] for row in read(folder.student(2) / "rl" / "data", "rows.parquet")}
    assert learned
    assert all(0 < measured[task] < 1 for task in learned)
    asked = json.loads((folder.student(2) / "rl" / "request.json").read_bytes())
    rollouts = RlRequest.model_validate(asked["request"]).rollouts
    assert (rollouts.search.k, rollouts.search.hide) == (2, False), "it searches as the rounds did"
    report = (folder.root / "report.html").read_text()
    assert "teacher-r2" in report


def test_rounds_share_common_stages(finished: Lab) -> None:
    folder = finished.distilled
    for number in range(3):
        for path in sorted((folder.base.root / "passages").glob("*.parquet")):
            assert path.samefile(folder.round(number).root / "passages" / path.name)
    union = folder.union(2).root
    words = ("export", str(union), "--to", "verl-rl", "--shortcuts", "--out", str(finished.folder / "exported"))
    code, output = finished.command(*words)
    assert code == 0, output
    attempts = [row for number in (0, 1) for row in read(folder.round(number).root, "trajectories")]
    assert {row["trajectory_id"] for row in attempts} == {row["trajectory_id"] for row in read(union, "trajectories")}
    trained = read(folder.teacher(2).root / "data", "rows.parquet")
    assert len(trained) == folder.records()[2].training.rows  # type: ignore[union-attr]  # round 2 has one


def test_the_same_command_repeats_nothing(finished: Lab) -> None:
    before, shards = read_log(finished.folder), hash_rounds(finished)
    code, output = finished.command("distill", "loop", "--out", str(finished.root.parent))
    assert code == 0, output
    assert "all 2 rounds are done" in output
    assert read_log(finished.folder) == before
    assert hash_rounds(finished) == shards
    code, output = finished.run("search.k=3")
    assert code == 1
    assert "search.k was 2, now 3" in output
    code, output = finished.command(*finished.words()[:4], "--plan")
    assert code == 0, output
    assert output.count("done") == 3


def hash_rounds(lab: Lab) -> dict[str, str]:
    """Checksum of every Parquet file of the rounds but their records, which tell the time."""
    files = sorted(lab.root.glob("round-*/*/part-*.parquet"))
    return {str(path.relative_to(lab.root)): hash_file(path) for path in files}


def test_the_laboratory_asks_every_model_the_same_questions(lab: Lab) -> None:
    asked = ["--questions", str(write_questions(lab.folder)), "--corpus", str(write_corpus(lab.folder))]
    words = ["lab", "--size", "cpu", "--name", *lab.words("distill.rounds=0")[1:], *asked, "--sample", "6"]
    code, output = lab.command(*words)
    assert code == 0, output
    assert "| untrained | policy" in output
    assert "| metric | untrained | student-sft |" in output
    assert (lab.root / "eval" / "student-sft" / "comparison.html").exists()
    before = read_log(lab.folder)
    code, again = lab.command(*words)
    assert code == 0, again
    assert again.partition("| evaluation")[2] == output.partition("| evaluation")[2]
    assert read_log(lab.folder) == before


@pytest.fixture(scope="module")
def short(prefect_server: Mapping[str, str], finished: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("short"), prefect_server)
    code, output = lab.command(*lab.adopting(finished))
    assert code == 0, output
    return lab


def test_a_judged_run_becomes_round_0(finished: Lab, short: Lab) -> None:
    first, second = short.distilled.records()
    assert first.accepted == finished.distilled.records()[0].accepted
    assert second.accepted > 0
    tried = {row["task_id"] for row in read(finished.distilled.round(0).root, "tasks")}
    assert not tried & {row["task_id"] for row in read(short.distilled.round(1).root, "tasks")}


@pytest.mark.parametrize("program", ["train", pytest.param("serve"), pytest.param("complete")])
def test_killed_in_a_step_it_goes_on_and_repeats_nothing_finished(
    program: str, lab: Lab, finished: Lab, short: Lab
) -> None:
    waiting, words = lab.folder / f"{program}-wait", lab.adopting(finished)
    waiting.touch()
    process = start(lab.environment, *words)
    wait_for(lambda: bool(lab.log(program)), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    pids = {line["pid"] for line in read_log(lab.folder)}
    wait_for(lambda: not any(is_alive(pid) for pid in pids), None)
    waiting.unlink()
    code, output = lab.command(*words)
    assert code == 0, output
    assert [record.policy for record in lab.distilled.records()] == ["extractive", "teacher-r1"]
    assert [line["begun"] for line in lab.log("train")] == ([0, 2] if program == "train" else [0])
    assert hash_rounds(lab) == hash_rounds(short)
    assert not list(lab.root.rglob("*.tmp"))


def wait_for(happens: Callable[[], bool], process: Command | None) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        if happens():
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate(timeout=10) if process else "it never happened")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("program", "said"),
    [("train", "round 1 stopped in step train: the trainer ended with 1"), ("serve", "round 1 stopped in step serve")],
)
def test_a_failed_step_is_one_line_and_can_be_resumed(program: str, said: str, lab: Lab, finished: Lab) -> None:
    failing = lab.folder / f"{program}-fail"
    failing.touch()
    code, output = lab.command(*lab.adopting(finished))
    assert code == 1
    assert said in output
    assert "ValueError: told to fail" in output
    assert "resumes from this step" in output
    assert "Traceback" not in output
    failing.unlink()
    code, output = lab.command("distill", "loop", "--out", str(lab.root.parent))
    assert code == 0, output
    assert lab.distilled.records()[1].accepted > 0


def test_the_wrong_model_is_refused(lab: Lab, finished: Lab) -> None:
    lab.say(name="another")
    code, output = lab.command(*lab.adopting(finished))
    assert code == 1
    assert "wrong model" in output
    assert "resumes from this step" in output


def test_a_base_without_a_tokenizer_is_refused_before_anything_is_done(lab: Lab) -> None:
    (lab.base / "tokenizer.json").unlink()
    code, output = lab.run()
    assert code == 1
    assert "tokenizer" in output
    assert "Traceback" not in output
    assert not lab.root.exists()


def test_a_worse_teacher_is_given_up_for_the_best_before_it(lab: Lab, finished: Lab) -> None:
    held = "distill.validation={tasks: 6, share: 0.2, mask_counts: [1]}"
    code, output = lab.command(*lab.adopting(finished, held))
    assert code == 0, output
    lab.say(always="<think>I know.</think>\n<answer>1. no</answer>")
    code, output = lab.command("distill", "loop", "--out", str(lab.root.parent), "--rounds", "2")
    assert code == 0, output
    record = lab.distilled.records()[2]
    assert record.policy == "teacher-r1"
    assert record.regression is not None
    assert record.regression > 0.3
    assert "the teacher of round 1 attempts its tasks" in output
    assert record.accepted == 0
    assert [(reject.name, reject.count) for reject in record.rejects] == [("bad_format", 16)], "it never searches"
    assert "nothing was accepted in round 2" in str(record.stop)


def test_a_regression_stops_the_loop_where_configured(lab: Lab, finished: Lab) -> None:
    held = "distill.validation={tasks: 6, share: 0.2, mask_counts: [1]}"
    lab.say(base_knows=True)
    words = lab.adopting(finished, held, "distill.on_regression=stop")
    waiting = lab.folder / "train-wait"
    waiting.touch()
    process = start(lab.environment, *words)
    wait_for(lambda: bool(lab.log("train")), process)
    lab.say(always="garbage without end " * 400)
    waiting.unlink()
    output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, output
    records = lab.distilled.records()
    assert len(records) == 2
    assert "of validation recall, more than 0.05" in str(records[1].stop)
    assert records[1].attempts == 0
    assert records[1].validation is not None
    assert records[1].validation.recall == 0.0
