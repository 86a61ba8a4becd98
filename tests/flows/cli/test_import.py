"""The command `rampforge import`: what is to be done next with what was imported."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tests.support.import_samples import SEARCH_R1

PROMPT = {name: value for name, value in SEARCH_R1.items() if name != "response"}


@pytest.mark.parametrize(
    ("rows", "command"), [([SEARCH_R1], "judge"), ([SEARCH_R1, PROMPT], "judge"), ([PROMPT], "inspect")]
)
def test_prompts_alone_are_not_judged(tmp_path: Path, rows: list[dict[str, Any]], command: str) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "a run"
    file.write_text("".join(json.dumps({**row, "id": f"row {n}"}) + "\n" for n, row in enumerate(rows)))
    done = CliRunner().invoke(app, ["import", str(file), "--as", "search-r1", "--out", str(out)])
    assert done.exit_code == 0, done.exception
    assert shlex.split(done.stdout.splitlines()[-1]) == ["next:", "rampforge", command, str(out)]
