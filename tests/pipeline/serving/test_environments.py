"""Environments: whole or not there, built anew from a changed recipe, and a failing pip is told in its own words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.configuration.environments import list_recipes, open_environment, read_recipe
from pipeline.errors import ConfigError
from pipeline.serving.environments import (
    EnvironmentBuildError,
    Recipe,
    check_environment,
    create_environment,
    discard_environment,
    find_environment,
)

RECIPE = Recipe("tiny", "for the test", "json", ("good==1.0", "other<3"), alone=("greedy==1",), remove=("bad",))
PYTHON = f"""#!{sys.executable}
# Makes an environment of itself and writes down what pip is told.
import json, os, pathlib, shutil, sys
words = sys.argv[1:]
if words[:2] == ["-m", "venv"]:
    place = pathlib.Path(words[2], "bin")
    place.mkdir(parents=True)
    shutil.copy(__file__, place / "python")
elif words[:2] == ["-m", "pip"]:
    place = pathlib.Path(__file__).parent
    requirements = pathlib.Path(words[-1]).read_text() if "--requirement" in words else ""
    with (place / "told.jsonl").open("a") as told:
        told.write(json.dumps([words[4:], requirements, os.environ.get("PYTHONPATH")]) + "\\n")
    print("Collecting", words[-1])
    if "missing" in requirements:
        sys.exit("ERROR: No matching distribution found for missing==9")
else:
    exec(words[1])
"""


@pytest.fixture
def python(tmp_path: Path) -> str:
    path = tmp_path / "python"
    path.write_text(PYTHON)
    path.chmod(0o755)
    return str(path)


def read_told(folder: Path) -> list[tuple[list[str], str, str | None]]:
    """For each call of pip: its words, the requirements it was given, the PYTHONPATH it saw."""
    return [json.loads(line) for line in (folder / "bin" / "told.jsonl").read_text().splitlines()]


def test_environment_is_built_once(tmp_path: Path, python: str) -> None:
    lines: list[str] = []
    variables: Mapping[str, str] = {"PYTHONPATH": "ours", "PATH": "/usr/bin:/bin"}
    built = create_environment(RECIPE, tmp_path / "envs", variables, lines.append, python)
    assert built == find_environment(RECIPE, tmp_path / "envs")
    told = read_told(built.folder)
    assert [words[0] for words, *_ in told] == ["install", "install", "install", "uninstall"]
    assert told[2][0] == ["install", "--no-deps", "greedy==1"]
    assert told[3][0][-1] == "bad"
    assert told[1][1] == "good==1.0\nother<3\n"
    assert {leak for *_, leak in told} == {None}
    assert lines == (tmp_path / "envs" / "tiny.log").read_text().splitlines()
    create_environment(RECIPE, tmp_path / "envs", variables, python=python)
    assert len(read_told(built.folder)) == 4
    assert check_environment(built, variables) == "2.0.9"


def test_another_recipe_or_a_half_built_folder_is_built_anew(tmp_path: Path, python: str) -> None:
    built = create_environment(RECIPE, tmp_path, {}, python=python)
    (built.folder / "left over").touch()
    changed = replace(RECIPE, requirements=("good==2.0",))
    assert find_environment(changed, tmp_path) is None
    assert create_environment(changed, tmp_path, {}, python=python).recipe == changed
    assert not (built.folder / "left over").exists()
    (built.folder / "environment.json").write_text("{")
    assert find_environment(changed, tmp_path) is None
    assert create_environment(changed, tmp_path, {}, python=python)
    discard_environment(changed, tmp_path)
    assert not built.folder.exists()


def test_a_failing_pip_tells_its_last_words_and_the_next_command(tmp_path: Path, python: str) -> None:
    broken = replace(RECIPE, requirements=("missing==9",))
    with pytest.raises(EnvironmentBuildError, match="No matching distribution found for missing==9") as caught:
        create_environment(broken, tmp_path, {}, python=python)
    assert "rampforge env create tiny" in caught.value.fix
    assert find_environment(broken, tmp_path) is None
    assert create_environment(RECIPE, tmp_path, {}, python=python)


def test_an_environment_whose_package_does_not_import_is_told(tmp_path: Path, python: str) -> None:
    built = create_environment(replace(RECIPE, imports="no_such_module"), tmp_path, {}, python=python)
    with pytest.raises(EnvironmentBuildError, match="`import no_such_module` fails: ModuleNotFoundError"):
        check_environment(built, {})


@pytest.mark.parametrize("name", list_recipes())
def test_our_recipes_pin_their_main_package(name: str) -> None:
    recipe = read_recipe(name)
    assert "==" in recipe.package
    assert recipe.summary
    assert recipe.imports


def test_list_and_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path))
    printed = CliRunner().invoke(app, ["env", "list"])
    assert printed.exit_code == 0
    assert {"vllm", "vllm-cpu", "trl", "verl"} <= set(printed.output.split())
    with pytest.raises(ConfigError, match="no environment nope"):
        open_environment("nope")
    with pytest.raises(EnvironmentBuildError) as caught:
        open_environment("trl")
    assert caught.value.fix == "rampforge env create trl"
