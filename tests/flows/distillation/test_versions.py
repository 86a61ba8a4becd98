"""A distillation that another version began: its own command is named, and goes on when it is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from flows.configuration.recalled_config import recall_config
from flows.distillation.session import DistillationSession, DistillError
from pipeline.distillation.folders import DistillFolder
from pipeline.storage.run_folder import RunFolder
from tests.flows.stages.test_run_record import finished, lose_a_shard, run, upgrade

__all__ = ["finished", "run"]


@pytest.mark.usefixtures("prefect_server")
def test_a_distillation_names_its_own_command_and_goes_on(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_a_shard(run, "judgements")
    upgrade(monkeypatch, rampforge="9.9.9")
    monkeypatch.setattr("sys.argv", ["rampforge", "distill", "first"])
    folder, config = DistillFolder(tmp_path / "first"), recall_config(RunFolder(run))
    with DistillationSession(folder, config, run.parent, Console()) as session, pytest.raises(DistillError) as caught:
        session.run_stages(1, RunFolder(run), config, ["judgements"])
    assert "`rampforge distill first --other-version`" in caught.value.fix
    assert "rampforge resume" not in caught.value.fix
    started: list[bool] = []
    monkeypatch.setattr("flows.distillation.session.start_job", lambda *_, other_version: started.append(other_version))
    with DistillationSession(folder, config, run.parent, Console(), other_version=True) as session:
        session.run_stages(1, RunFolder(run), config, ["judgements"])
    assert started == [True]
