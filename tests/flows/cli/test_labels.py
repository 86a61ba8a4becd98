"""The commands `rampforge labels`: from a sample to labels with and without text, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.errors import RampforgeError
from schemas.renderings import QuestionKind
from tests.support.label_samples import CODES, TEXT, make_tasks, write_tasks


def labels(*arguments: object) -> None:
    done = CliRunner().invoke(app, ["labels", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def code(queue: Path, path: Path, **change: str) -> Path:
    rows = read(queue)
    lines = (
        {"mask": row["mask"], **CODES, "alias_codes": dict.fromkeys(row["aliases"], "ok"), **change} for row in rows
    )
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_two_raters_label_a_sample(tmp_path: Path) -> None:
    run, queue, out = write_tasks(tmp_path / "run", make_tasks(12)), tmp_path / "queue.jsonl", tmp_path / "out.jsonl"
    labels("sample", run, "--n", 9, "--seed", 3, "--out", queue)
    first = queue.read_bytes()
    labels("sample", run, "--n", 9, "--seed", 3, "--out", queue)
    assert queue.read_bytes() == first
    assert len(rows := read(queue)) == 9
    assert all(row["text"].replace("[?]", row["answer"]).count("[?]") == 0 for row in rows)
    labels("add", run, "--rater", "ada", code(queue, tmp_path / "a.jsonl"))
    labels("add", run, "--rater", "ben", code(queue, tmp_path / "b.jsonl", needs="given_away"))
    labels("export", run, "--out", out)
    assert [(row["rater"], row["needs"]) for row in read(out)] == [("ada", "search")] * 9 + [("ben", "given_away")] * 9
    assert TEXT.split("{}")[1][:20] not in out.read_text()
    labels("export", run, "--out", out, "--text", "--rater", "ben")
    masks = [mask for row in read(out) for mask in row["masks"]]
    assert sorted(mask["text"] for mask in masks) == sorted(row["answer"] for row in rows)
    assert {mask["needs"] for mask in masks} == {"given_away"}
    assert not any("second_rater" in mask for mask in masks)


def test_a_wrong_line_keeps_the_whole_file_out(tmp_path: Path) -> None:
    run, queue = write_tasks(tmp_path / "run", make_tasks(4)), tmp_path / "queue.jsonl"
    labels("sample", run, "--out", queue)
    codes = code(queue, tmp_path / "codes.jsonl")
    codes.write_text(codes.read_text() + '{"mask": "x"}\n')
    for arguments in (("--rater", "ada", codes), ("--rater", "", code(queue, tmp_path / "good.jsonl"))):
        with pytest.raises(RampforgeError):
            labels("add", run, *arguments)
    assert not (run / "labels").exists()
    with pytest.raises(RampforgeError):
        labels("export", run)
    with pytest.raises(RampforgeError):
        labels("sample", tmp_path / "nothing")


def test_imported_questions_are_no_masks_of_a_passage(tmp_path: Path) -> None:
    tasks = make_tasks(4)
    asked = tasks[0].model_copy(update={"task_id": "asked", "kind": QuestionKind.QA})
    labels("sample", write_tasks(tmp_path / "run", [*tasks, asked]), "--out", tmp_path / "queue.jsonl")
    masks = [row["mask"] for row in read(tmp_path / "queue.jsonl")]
    assert len(masks) == 10
    assert not any(mask.startswith("asked") for mask in masks)
