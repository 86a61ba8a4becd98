"""The command `rampforge audit` over a run: measures of tasks and attempts, as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from pipeline.errors import RampforgeError
from tests.support.export_samples import PAGES, make_run


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


def test_tasks_alone_are_audited_and_passages_are_not(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    value = json.loads(audit(str(tmp_path / "run" / "tasks"), "--json"))
    assert {one["part"] for one in value["measures"]} == {"lang=en", "lang=zh"}
    (tmp_path / "nothing").mkdir()
    with pytest.raises(RampforgeError):
        audit(str(tmp_path / "nothing"))
