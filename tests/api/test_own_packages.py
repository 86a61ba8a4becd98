"""Importing rampforge: under one name, and with other modules and folders of the names of its packages about."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rampforge.own_packages import PACKAGES, ROOT
from tests.support.places import REPOSITORY
from tests.support.user_scripts import API, run_script

SCRIPT = f"""
import rampforge
for name in {sorted(PACKAGES)}:
    print(__import__(name).__file__)
"""


def list_own_files() -> list[str]:
    return [str(REPOSITORY / name / "__init__.py") for name in sorted(PACKAGES)]


def test_the_packages_lie_in_the_checkout() -> None:
    assert ROOT == REPOSITORY


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_of_that_name_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    code, output = run_script(tmp_path, SCRIPT)
    assert code == 1
    assert "ImportError" in output
    assert str(tmp_path / name) in output
    code, output = run_script(tmp_path, SCRIPT, options=["-P"])
    assert (code, output.splitlines()) == (0, list_own_files())


def test_a_module_of_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").touch()
    code, output = run_script(tmp_path, SCRIPT)
    assert code == 1
    assert str(tmp_path / "pipeline.py") in output


@pytest.mark.parametrize("path", [(REPOSITORY, API), (API,)], ids=["on the path", "found by a finder"])
def test_plain_folders_of_those_names_do_no_harm(tmp_path: Path, path: tuple[Path, ...]) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").touch()
    code, output = run_script(tmp_path, SCRIPT, path=path)
    assert (code, output.splitlines()) == (0, list_own_files())


def test_it_is_importable_under_one_name_only() -> None:
    with pytest.raises(ImportError):
        importlib.import_module("flows.python-api.rampforge")


def test_the_command_line_is_a_module(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{API}"}
    command = [sys.executable, "-m", "rampforge", "config", "--config", "demo"]
    shown = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True)
    assert shown.startswith("#")
    assert "asset:enwiki-sample" in shown
