"""One small run for all tests of the Python API, made by a script as a user writes it: without a `__main__` guard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

import rampforge
from tests.support.sample_dump import write_dump
from tests.support.user_scripts import run_script

LIGHT: Mapping[str, Mapping[str, object]] = {
    "corpus": {"pages_per_shard": 20},
    "masking": {"ner": None, "scorer": None, "selection": "random"},
    "search": {"hide": ["none", "passage"]},
    "execution": {"workers": 2},
}
"""A configuration that needs no model."""
SCRIPT = """
import rampforge

print("the script runs")
run = rampforge.run("dump.xml.bz2", config="mine.yaml", settings={"masking.limit": 12}, name="pilot")
print(run.location)
"""


def write_sources(folder: Path) -> None:
    """What the script reads."""
    write_dump(folder / "dump.xml.bz2", towns=20)
    (folder / "mine.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(LIGHT))))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dump, and a run over it."""
    folder = tmp_path_factory.mktemp("project")
    write_sources(folder)
    code, output = run_script(folder, SCRIPT)
    assert code == 0, output
    assert output.count("the script runs") == 1
    return folder


@pytest.fixture(scope="session")
def small_run(project: Path) -> rampforge.Run:
    return rampforge.open_run(project / "outputs" / "pilot")
