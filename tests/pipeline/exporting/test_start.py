"""The commands that train on an export, and the model in its configuration."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from pipeline.errors import ConfigError
from pipeline.exporting.command_arguments import ARGUMENTS, OVERRIDES, quote_hydra
from pipeline.exporting.registry import EXPORTERS
from pipeline.storage.run_folder import RunFolder
from schemas.exports import Trainer
from schemas.renderings import RenderingName
from tests.support.export_samples import export_sample, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("run") / "sample")


@pytest.mark.parametrize("trainer", list(Trainer))
def test_an_export_ends_with_the_commands_that_train_on_it(run: RunFolder, tmp_path: Path, trainer: Trainer) -> None:
    done = export_sample(run, tmp_path / "unnamed", trainer)
    card = (tmp_path / "unnamed" / "README.md").read_text()
    for command in EXPORTERS[trainer].list_commands(done.written, "RUN", "FOLDER"):
        assert f"\n{command}\n" in card
    assert ("--model NAME" in card) == bool(done.configs)
    named = export_sample(run, tmp_path / "named", trainer, base="/secret/mine")
    configs = "".join((tmp_path / "named" / name).read_text() for name in named.configs)
    assert ("/secret/mine" in configs) == bool(named.configs)
    card = (tmp_path / "named" / "README.md").read_text()
    assert not re.search(r"/secret|--model NAME", card)


@pytest.mark.parametrize("trainer", [Trainer.TRL, Trainer.DPO, Trainer.VERL_RL, Trainer.LLAMA_FACTORY])
def test_commands_are_run_one_after_the_other_in_one_shell(run: RunFolder, tmp_path: Path, trainer: Trainer) -> None:
    """The folder is named relative to where the export was made, and the programs are in the trainer's environment."""
    done = export_sample(run, tmp_path / "an export", trainer)
    stream = done.written.settings.model_copy(update={"rendering": RenderingName.SEARCH_R1})
    written = replace(done.written, settings=stream)
    programs = tmp_path / "programs of it"
    programs.mkdir()
    for name in ("rampforge", "trl", "python", "llamafactory-cli"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} $1 $(basename "$PWD")\n')
        (programs / name).chmod(0o755)
    commands = EXPORTERS[trainer].list_commands(written, "RUN", shlex.quote("an export"), shlex.quote(str(programs)))
    # The programs of rampforge itself are on the PATH, those of the trainer in its environment only.
    (tmp_path / "bin").mkdir()
    (programs / "rampforge").rename(tmp_path / "bin" / "rampforge")
    env = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    shell = subprocess.run(
        ["bash", "-ec", "\n".join(commands)], cwd=tmp_path, env=env, check=True, capture_output=True, text=True
    )
    places = {line.split()[0]: line.split(maxsplit=2)[2] for line in shell.stdout.splitlines()}
    assert len(shell.stdout.splitlines()) == len(commands)
    assert {place for program, place in places.items() if program != "rampforge"} == {"an export"}
    assert places.get("rampforge", tmp_path.name) == tmp_path.name


def test_an_export_that_fails_leaves_what_was_there(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "trl"
    with monkeypatch.context() as patch:
        patch.setattr("flows.exporting.dataset.write_card", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export_sample(run, out, Trainer.TRL)
        assert not list(tmp_path.iterdir())
    done = export_sample(run, out, Trainer.TRL)
    assert done.folder == out
    assert all((out / name).is_file() for name in done.files)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError):
        export_sample(run, out, Trainer.TRL, max_closed_book=0.0, where="turns = 99")
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path.stem for path in map(Path, export_sample(run, out, Trainer.TRL, split=0.0).files)} == {"train"}
    assert not list(out.rglob("validation*"))


@pytest.mark.parametrize(
    "trainer",
    [
        *(Trainer.VERL_SFT, Trainer.VERL_RL, Trainer.SEARCH_R1, Trainer.SKYRL, Trainer.SLIME, Trainer.RESEARCH),
        Trainer.OPENRLHF,
    ],
)
def test_a_shell_hands_the_arguments_on_whatever_the_path_of_the_model_holds(
    run: RunFolder, tmp_path: Path, trainer: Trainer
) -> None:
    model = '/models/it\'s "mine" $HOME * {a,b}'
    out = tmp_path / "the export"
    done = export_sample(run, out, trainer, base=model)
    (file,) = (out / name for name in done.configs if name in (OVERRIDES, ARGUMENTS))
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(tmp_path / 'got')!r}, 'w'))"
    )
    fake.chmod(0o755)
    for name in ("torchrun", "deepspeed"):
        (fake.parent / name).symlink_to(fake)
    folders = dict.fromkeys(("SEARCH_R1", "SLIME", "MEGATRON", "RESEARCH"), "/a b")
    command = EXPORTERS[trainer].list_commands(done.written, "RUN", shlex.quote(str(out)))[-1]
    shell = f"MODEL_ARGS=(--swiglu --layers 2)\n{command}"
    subprocess.run(["bash", "-c", shell], check=True, env={"PATH": f"{fake.parent}:{os.environ['PATH']}", **folders})
    given = json.loads((tmp_path / "got").read_text())
    lines = file.read_text().splitlines()
    assert given[-len(lines) :] == lines
    quoted = model if file.name == ARGUMENTS else quote_hydra(model)
    assert any(line.endswith(f"={quoted}") for line in lines)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("/a b", "'/a b'"),
        ("/it's", '"/it\'s"'),
        ('/a"b', "'/a\"b'"),
        ("/a'\"", "'/a\\'\"'"),
        ("/a\\", "'/a\\\\'"),
        ("/a\\b", "'/a\\b'"),
        ("/ä", "'/ä'"),
    ],
)
def test_a_value_is_quoted_where_hydra_needs_it(value: str, quoted: str) -> None:
    assert quote_hydra(value) == quoted


@pytest.mark.parametrize(
    ("trainer", "rendering", "withholds"),
    [
        (Trainer.VERL_RL, RenderingName.SEARCH_R1, True),
        (Trainer.VERL_RL, RenderingName.OPENAI_TOOLS, False),
        (Trainer.SKYRL, None, False),
    ],
)
def test_a_card_says_where_searches_withhold_nothing(
    run: RunFolder, tmp_path: Path, trainer: Trainer, rendering: RenderingName | None, withholds: bool
) -> None:
    done = export_sample(run, tmp_path, trainer, rendering=rendering)
    notes = EXPORTERS[trainer].describe_search(done.written)
    assert len(notes) == (0 if withholds else 1)
    assert all(note in (tmp_path / "README.md").read_text() for note in notes)
