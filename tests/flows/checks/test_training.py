"""What is looked at before a training: each finding names what is wrong and how to mend it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from flows.checks import training as preflight
from flows.checks.findings import Finding, State
from pipeline.training.requests import TrainingError
from schemas.training import Backend, Layout
from tests.pipeline.training.test_verl import serve_one_document


def look(tmp_path: Path, layout: Layout, search: str | None = None) -> dict[str, Finding]:
    findings = preflight.check_training(tmp_path, "owner/model", layout, search=search)
    return {finding.subject: finding for finding in findings}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path / "cache" / "assets"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_one_machine_without_gpu_may_train_slowly(tmp_path: Path) -> None:
    found = look(tmp_path, Layout())
    assert found["GPUs"].state is State.WARN
    assert found["folder"].state is State.OK
    assert found["environment trl"].state is State.FAIL
    assert "rampforge env create trl" in found["environment trl"].fix
    assert "port" not in found
    assert look(tmp_path, Layout(gpus=8))["GPUs"].state is State.FAIL
    assert look(tmp_path, Layout(gpus=0))["GPUs"].state is State.OK


def test_gpus_that_may_be_used_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, count in (("0,1,3", 3), ("", 0), ("-1", 0)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert preflight.count_gpus() == count


def test_a_port_that_is_taken_is_found_on_the_head(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert look(tmp_path, Layout(nodes=2, port=port))["port"].state is State.FAIL
    assert look(tmp_path, Layout(nodes=2, port=port))["port"].state is State.OK


def test_a_machine_that_resolves_the_head_to_itself_is_reported(tmp_path: Path) -> None:
    found = look(tmp_path, Layout(nodes=2, rank=1, address="127.0.0.1"))
    assert found["port"].state is State.FAIL
    assert "--address" in found["port"].fix


def test_the_folder_is_shared_when_every_machine_finds_the_others(tmp_path: Path) -> None:
    assert look(tmp_path, Layout(nodes=2))["folder"].state is State.WARN
    look(tmp_path, Layout(nodes=2, rank=1))
    assert look(tmp_path, Layout(nodes=2))["folder"].state is State.OK


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    findings = preflight.check_training(tmp_path / "file", "owner/model", Layout())
    assert {finding.subject: finding.state for finding in findings}["folder"] is State.FAIL


def test_training_stops_before_it_starts(tmp_path: Path) -> None:
    with serve_one_document() as url:
        preflight.require_training(tmp_path, "owner/model", Layout(), Backend.TRL, url)
    with pytest.raises(TrainingError, match="search server: no search server answers"):
        preflight.require_training(tmp_path, "owner/model", Layout(), Backend.TRL, url)
    preflight.require_training(tmp_path, "owner/model", Layout(), Backend.TRL, None)
    with pytest.raises(TrainingError, match="environment trl"):
        preflight.require_training(tmp_path, "owner/model", Layout(nodes=2), Backend.TRL, None)


def test_the_search_server_is_probed(tmp_path: Path) -> None:
    with serve_one_document() as url:
        assert look(tmp_path, Layout(), url)["search server"].state is State.OK
    gone = look(tmp_path, Layout(), url)["search server"]
    assert gone.state is State.FAIL
    assert "rampforge search serve" in gone.fix
