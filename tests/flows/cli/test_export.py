"""The commands that `export` prints: the trainer's environment first where it is missing, and no `cd` to a URL."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from flows.cli.export import FOLDER, list_next_commands
from flows.configuration.environments import environments_folder, read_recipe
from pipeline.exporting.registry import EXPORTERS
from pipeline.exporting.spec import Written
from pipeline.serving.environments import MARKER, locate_python
from schemas.exports import ExportSettings, Purpose, Split, Trainer
from schemas.renderings import RenderingName


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path / "assets"))


def list_commands(trainer: Trainer, target: str) -> list[str]:
    settings = ExportSettings(trainer=trainer, rendering=RenderingName.OPENAI_TOOLS)
    written = Written(
        settings,
        files={Purpose.SFT: {Split.TRAIN: "train.jsonl"}},
        rows={Purpose.SFT: {Split.TRAIN: 9}},
        longest=0,
        shown=3,
        searches=4,
    )
    return list(list_next_commands(EXPORTERS[trainer], written, "a run", target))


@pytest.mark.parametrize(("trainer", "name"), [(Trainer.TRL, "trl"), (Trainer.DPO, "trl"), (Trainer.VERL_SFT, "verl")])
def test_the_environment_of_the_trainer_is_built_once_and_used(trainer: Trainer, name: str) -> None:
    python = locate_python(environments_folder() / name)
    create, train = list_commands(trainer, "an export")
    assert shlex.split(create) == ["rampforge", "env", "create", name]
    python.parent.mkdir(parents=True)
    python.touch()
    (environments_folder() / name / MARKER).write_text(json.dumps({"digest": read_recipe(name).digest}))
    assert list_commands(trainer, "an export") == [train]
    assert str(python.parent) in train


def test_a_trainer_of_the_users_own_needs_none_of_ours() -> None:
    assert len(list_commands(Trainer.LLAMA_FACTORY, "an export")) == 1


def test_an_export_on_a_store_is_trained_on_from_a_copy() -> None:
    for command in list_commands(Trainer.TRL, "s3://bucket/export"):
        assert "s3://" not in command
    assert f"cd {FOLDER} " in command


def test_help_is_whole_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = CliRunner().invoke(app, ["export", "--help"]).stdout
    # A line may end with the hyphen of a word.
    words = set(re.split(r"[\s,;.]+", re.sub(r"(?<=-)\n +", "", text)))
    assert words >= {*Trainer, *RenderingName, "--decontaminate-run", "--no-single-queries", "--max-closed-book"}
    assert max(map(len, text.splitlines())) <= 80
