"""The loop through the command line, with scripted trainers and servers: rounds, kill -9 in every step, faults."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.distillation.folders import DistillFolder
from pipeline.storage.shards import hash_file
from tests.command_line import start
from tests.sample_dump import write_dump
from tests.scripted_distillation import install_environments, read_log
from tests.tiny_policies import write_model

TIMEOUT = 900
pytestmark = pytest.mark.timeout(2 * TIMEOUT)
SLOW = pytest.mark.slow
SERVING = "serving={mode: managed, environment: vllm-cpu, model: x, roles: [policy], max_in_flight: 8}"
SETTINGS = [
    "masking.ner=null",
    "masking.scorer=null",
    "masking.selection=random",
    "masking.tasks_per_passage=2",
    "corpus.pages_per_shard=40",
    "execution.workers=1",
    "search.k=2",
    "search.hide=[none]",
    "policy={max_prompt: 4096, max_turn: 1024, max_results: 2048, max_completion: 3900, turns: 2}",
    "llm.roles={policy: {model: teacher}}",
    SERVING,
    "distill.tasks=[12, 8]",
    "distill.attempts=2",
    "distill.rounds=2",
    "distill.curriculum=[[1], [1, 2]]",
    "distill.validation={tasks: 6, share: 0.2, mask_counts: [1]}",
    "distill.sft={max_length: 16000, gpus: 0}",
    "distill.student.sft={max_length: 16000, gpus: 0}",
]


class Lab:
    """A folder with stand-ins, a base model and a dump, and the command that works in it."""

    def __init__(self, folder: Path, server: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**server, **install_environments(folder)}
        self.base = write_model(folder / "base-model", b"untrained")
        self.dump = write_dump(folder / "towns.xml.bz2", towns=60)
        self.root = folder / "out" / "loop"
        self.distilled = DistillFolder(self.root)

    def words(self, *more: str) -> list[str]:
        settings = [*SETTINGS, f"distill.base={self.base}", f"corpus.sources=[{json.dumps(str(self.dump))}]", *more]
        return ["distill", "loop", "--out", str(self.root.parent), *[w for s in settings for w in ("--set", s)]]

    def run(self, *more: str) -> tuple[int, str]:
        return self.command(*self.words(*more))

    def adopting(self, finished: Lab, *more: str) -> list[str]:
        """One round on top of a round 0 that is there, nothing held out and no student: the shortest loop there is."""
        settings = [SERVING, "distill.rounds=1", "distill.student.enabled=false", "distill.validation.tasks=0", *more]
        adopted = str(finished.distilled.round(0).root)
        words = ["distill", "loop", "--out", str(self.root.parent), "--from", adopted]
        return [*words, *[w for s in settings for w in ("--set", s)]]

    def command(self, *words: str) -> tuple[int, str]:
        process = start(self.environment, *words)
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, " ".join(output.split())

    def say(self, **told: Any) -> None:
        """What models say from now on."""
        (self.folder / "say.json").write_text(json.dumps(told))

    def log(self, program: str) -> list[dict[str, Any]]:
        return [line for line in read_log(self.folder) if line["program"] == program]


@pytest.fixture
def lab(prefect_server: Mapping[str, str], tmp_path: Path) -> Lab:
    return Lab(tmp_path, prefect_server)


@pytest.fixture(scope="module")
def finished(prefect_server: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("finished"), prefect_server)
    code, output = lab.run()
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
    ]
    report = (folder.root / "report.html").read_text()
    assert "teacher-r2" in report


def test_rounds_share_what_need_not_be_made_again(finished: Lab) -> None:
    folder = finished.distilled
    for number in range(3):
        for path in sorted((folder.base.root / "passages").glob("*.parquet")):
            assert path.samefile(folder.round(number).root / "passages" / path.name)
    union = folder.union(2).root
    words = ("export", str(union), "--to", "verl-rl", "--out", str(finished.folder / "exported"))
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


@pytest.mark.parametrize("program", ["train", pytest.param("serve", marks=SLOW), pytest.param("complete", marks=SLOW)])
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


def wait_for(happens: Callable[[], bool], process: subprocess.Popen[str] | None) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        if happens():
            return
        time.sleep(0.01)
    raise AssertionError(process.stdout.read() if process and process.stdout else "it never happened")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@SLOW
@pytest.mark.parametrize(
    ("program", "said"),
    [("train", "round 1 stopped in step train: the trainer ended with 1"), ("serve", "round 1 stopped in step serve")],
)
def test_a_failed_step_says_so_in_one_line_and_can_be_mended(program: str, said: str, lab: Lab, finished: Lab) -> None:
    failing = lab.folder / f"{program}-fail"
    failing.touch()
    code, output = lab.command(*lab.adopting(finished))
    assert code == 1
    assert said in output
    assert "ValueError: told to fail" in output
    assert "goes on from this step" in output
    assert "Traceback" not in output
    failing.unlink()
    code, output = lab.command("distill", "loop", "--out", str(lab.root.parent))
    assert code == 0, output
    assert lab.distilled.records()[1].accepted > 0


@SLOW
def test_the_wrong_model_is_refused(lab: Lab, finished: Lab) -> None:
    lab.say(name="another")
    code, output = lab.command(*lab.adopting(finished))
    assert code == 1
    assert "wrong model" in output
    assert "goes on from this step" in output


def test_a_base_without_a_tokenizer_is_refused_before_anything_is_done(lab: Lab) -> None:
    (lab.base / "tokenizer.json").unlink()
    code, output = lab.run()
    assert code == 1
    assert "tokenizer" in output
    assert "Traceback" not in output
    assert not lab.root.exists()


@SLOW
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
    assert "nothing was accepted in round 2" in str(record.stop)


@SLOW
def test_a_regression_stops_the_loop_where_that_is_asked_for(lab: Lab, finished: Lab) -> None:
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
