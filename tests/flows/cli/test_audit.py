"""The command `rampforge audit` over a run: measures of tasks and attempts, as a table and as JSON."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.audit import list_measure_tables
from flows.cli.inspect import print_grids
from pipeline.errors import RampforgeError
from schemas.audit import Measure
from schemas.difficulties import Difficulty
from schemas.record import Record
from schemas.tasks import ClosedBook
from tests.support.export_samples import PAGES, make_run, write_run
from tests.support.trajectory_samples import make_task


def audit(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["audit", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_measures_of_a_run(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    value = json.loads(audit(str(tmp_path / "run"), "--json"))
    found = {(one["name"], one["part"]): (one["count"], one["of"]) for one in value["measures"]}
    assert value["labels"] is None
    assert found["accepted", "hide=passage, k=1"] == (PAGES, 2 * PAGES)
    assert {name for name, _ in found} >= {"given_away", "shortcuts", "verbatim_queries", "supported", "frames"}
    (low, high) = next(one["interval"] for one in value["measures"] if one["name"] == "shown")
    assert 0 <= low <= high <= 1
    table = audit(str(tmp_path / "run"))
    assert all(name in table for name, _ in found)


def test_tables_hold_their_words_in_80_columns(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    value = json.loads(audit(str(tmp_path / "run"), "--json"))
    console = Console(width=80, record=True, file=io.StringIO())
    measures = [Measure(**{k: v for k, v in one.items() if k in Measure.model_fields}) for one in value["measures"]]
    print_grids(list_measure_tables(measures), console)
    text = console.export_text()
    for measure in measures:
        assert re.search(rf"^ *{measure.name} +{measure.part} +[\d.]+%", text, re.MULTILINE)
        assert set(measure.about.split()) <= set(text.split())


def test_closed_book_shares(tmp_path: Path) -> None:
    rows: list[Record] = []
    for number, known in enumerate([True, False, False, None]):
        task = make_task(f"Founded in 18{number} by Vera.", [f"18{number}", "Vera"], f"t{number}", lang="en")
        checked = None if known is None else ClosedBook(model="tiny", known=known)
        spans = task.spans[0].model_copy(update={"closed_book": checked}), task.spans[1]
        rows.append(task.model_copy(update={"spans": spans}))
        rows.append(Difficulty(task_id=task.task_id, searched=1, solved=1, closed=4, known=number))
    write_run(tmp_path / "run", [rows], Difficulty)
    value = json.loads(audit(str(tmp_path / "run"), "--json"))
    found = {(one["name"], one["part"]): (one["count"], one["of"]) for one in value["measures"]}
    assert found["closed_book", "lang=en, model=tiny"] == (1, 3)
    assert found["closed_book_attempts", ""] == (6, 16)


def test_tasks_alone_are_audited_and_passages_are_not(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    value = json.loads(audit(str(tmp_path / "run" / "tasks"), "--json"))
    assert {one["part"] for one in value["measures"]} == {"lang=en", "lang=zh"}
    (tmp_path / "nothing").mkdir()
    with pytest.raises(RampforgeError):
        audit(str(tmp_path / "nothing"))
