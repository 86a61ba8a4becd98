"""Every command that needs more of a run than there is names the unfinished stage and the command that continues it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.errors import RampforgeError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.stage_ledger import close_stage, open_stage
from schemas.config import StageName
from tests.support.export_samples import make_record, make_run
from tests.support.label_samples import make_tasks, write_tasks

COMMANDS = (
    ("audit", "RUN"),
    ("labels", "sample", "RUN"),
    ("export", "--to", "trl", "RUN"),
    ("search", "simulation-data", "RUN", "--out", "OUT"),
)


def start(folder: Path, *stages: StageName, unfinished: StageName, imported: str | None = None) -> Path:
    run = RunFolder(folder)
    run.write_record(folder / "run.json", make_record(imported=imported))
    for stage in (*stages, unfinished):
        open_stage(run, stage, {}, None)
        if stage is not unfinished:
            close_stage(run, stage, ())
    return folder


def invoke(command: tuple[str, ...], run: Path, tmp_path: Path) -> RampforgeError | None:
    words = [{"RUN": str(run), "OUT": str(tmp_path / "out")}.get(word, word) for word in command]
    error = CliRunner().invoke(app, words).exception
    assert error is None or isinstance(error, RampforgeError), repr(error)
    return error


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(("imported", "verb"), [(None, "resume"), ("atif", "judge")])
def test_the_command_that_continues_the_run_is_named(
    tmp_path: Path, command: tuple[str, ...], imported: str | None, verb: str
) -> None:
    run = start(tmp_path / "a run", StageName.CORPUS, unfinished=StageName.TASKS, imported=imported)
    error = invoke(command, run, tmp_path)
    assert error is not None
    assert re.search(r"stage (tasks|judgements) is not finished", error.what)
    assert shlex.split(error.fix) == ["rampforge", verb, str(run)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_folder_that_is_no_run_is_not_continued(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "empty").mkdir()
    error = invoke(command, tmp_path / "empty", tmp_path)
    assert error is not None
    assert "resume" not in error.fix


def test_an_audit_says_that_it_measures_a_part(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run").root
    assert "not finished" not in CliRunner().invoke(app, ["audit", str(run)]).stderr
    (run / "ledger" / "judgements" / "manifest.json").unlink()
    told = CliRunner().invoke(app, ["audit", str(run)])
    assert told.exit_code == 0
    assert f"rampforge resume {run}" in told.stderr.replace("\n", " ")


def test_a_sample_for_labels_is_drawn_of_all_tasks_or_none(tmp_path: Path) -> None:
    run = start(write_tasks(tmp_path / "run", make_tasks(5)), unfinished=StageName.TASKS)
    error = invoke(("labels", "sample", "RUN"), run, tmp_path)
    assert error is not None
    assert error.fix == f"rampforge resume {run}"
