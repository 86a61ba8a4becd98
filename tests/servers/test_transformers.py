"""`transformers serve`: agents, extractor and judge work, without schemas; scorer and policy are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from flows.configuration.cache import cache_folder
from pipeline.assets.store import find_asset
from pipeline.serving.managed_server import find_port
from tests.servers.checks import check_calibration, check_doctor, check_run, refuse_policy, refuse_scorer
from tests.support.model_servers import MODEL, ModelServer, find_python, find_states, rampforge, serve

pytestmark = [pytest.mark.slow, pytest.mark.assets, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    """The model has the path of its folder for a name. There is no hub cache, for which its list of models is a 500."""
    python, port, folder = find_python("server-transformers"), find_port(), tmp_path_factory.mktemp("transformers")
    words = ["serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--default-seed", "0"]
    url, variables = f"http://127.0.0.1:{port}", {"HF_HUB_CACHE": str(folder / "no hub cache")}
    with serve([str(python.parent / "transformers"), *words], f"{url}/health", folder / "log", variables):
        yield ModelServer(f"{url}/v1", str(find_asset(MODEL, cache_folder())))


def test_doctor_finds_it(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_doctor(server, prefect_server, tmp_path)


def test_run(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_run(server, prefect_server, tmp_path)


def test_judge_is_measured(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_calibration(server, prefect_server, tmp_path)


def test_it_cannot_score(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    refuse_scorer(server, prefect_server, tmp_path)


def test_it_cannot_play_the_policy(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    refuse_policy(server, prefect_server, tmp_path)


def test_unknown_model_is_an_error_of_the_server(
    server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path
) -> None:
    config = replace(server, model="no-such-model").write_config(tmp_path)
    code, output = rampforge(prefect_server, "doctor", "--config", str(config), "--out", str(tmp_path))
    state, cause, fix = find_states(output)["role judge"]
    assert (code, state) == (1, "fail")
    assert "HTTP 500" in cause
    assert "llm.roles.judge.model" in fix
