"""llama.cpp's own server: agents, extractor and judge work; scorer and policy are refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.checks import check_calibration, check_doctor, check_run, refuse_policy, refuse_scorer
from tests.support.model_servers import ModelServer, find_states, rampforge, serve_llama_cpp

pytestmark = [pytest.mark.slow, pytest.mark.assets, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with serve_llama_cpp(tmp_path_factory.mktemp("llama")) as running:
        yield running


def test_doctor_finds_it(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_doctor(server, prefect_server, tmp_path)


def test_run(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    steps = check_run(server, prefect_server, tmp_path)
    assert steps["proposals", "passage"].rejected.keys() == {"not_sampled"}, "schemas are enforced"


def test_judge_is_measured(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_calibration(server, prefect_server, tmp_path)


def test_it_cannot_score(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    refuse_scorer(server, prefect_server, tmp_path)


def test_it_cannot_play_the_policy(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    refuse_policy(server, prefect_server, tmp_path)


def test_any_name_is_answered_and_doctor_warns(
    server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    config = replace(server, model="another-model").write_config(tmp_path)
    code, output = rampforge(prefect_server, "doctor", "--config", str(config), "--out", str(tmp_path))
    state, cause, fix = find_states(output)["role judge"]
    assert (code, state, fix) == (0, "warn", "check llm.roles.judge.model")
    assert server.model in cause
