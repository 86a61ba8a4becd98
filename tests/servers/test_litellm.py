"""LiteLLM's proxy before llama.cpp's server: what the server can, the proxy can; keys are explained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.serving.managed_server import find_port
from tests.servers.checks import check_calibration, check_doctor, check_run, refuse_policy, refuse_scorer
from tests.support.model_servers import ModelServer, find_python, find_states, rampforge, serve, serve_llama_cpp

KEY = "TEST_LITELLM_KEY"
VALUE = "sk-litellm-test"

pytestmark = [pytest.mark.slow, pytest.mark.assets, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    python, port, folder = find_python("server-litellm"), find_port(), tmp_path_factory.mktemp("litellm")
    with serve_llama_cpp(folder) as behind:
        served = {"model": f"openai/{behind.model}", "api_base": behind.url, "api_key": "none"}
        config = {"model_list": [{"model_name": "smol", "litellm_params": served}]}
        (folder / "proxy.yaml").write_text(yaml.safe_dump(config | {"general_settings": {"master_key": VALUE}}))
        words = ["--config", str(folder / "proxy.yaml"), "--host", "127.0.0.1", "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        with serve([str(python.parent / "litellm"), *words], f"{url}/health/liveliness", folder / "proxy.log", {}):
            yield ModelServer(f"{url}/v1", "smol", KEY)


@pytest.fixture
def environment(prefect_server: Mapping[str, str]) -> Mapping[str, str]:
    return {**prefect_server, KEY: VALUE}


def test_doctor_finds_it(server: ModelServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    check_doctor(server, environment, tmp_path)


def test_run(server: ModelServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    steps = check_run(server, environment, tmp_path)
    assert steps["proposals", "passage"].rejected.keys() == {"not_sampled"}, "schemas are enforced through the proxy"


def test_judge_is_measured(server: ModelServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    check_calibration(server, environment, tmp_path)


def test_it_cannot_score(server: ModelServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    refuse_scorer(server, environment, tmp_path)


def test_it_cannot_play_the_policy(server: ModelServer, environment: Mapping[str, str], tmp_path: Path) -> None:
    refuse_policy(server, environment, tmp_path)


def test_wrong_key_no_key_and_unknown_model(
    server: ModelServer, environment: Mapping[str, str], tmp_path: Path
) -> None:
    def look(one: ModelServer, **variables: str) -> tuple[int, tuple[str, str, str]]:
        config = one.write_config(tmp_path)
        words = ["doctor", "--config", str(config), "--out", str(tmp_path)]
        code, output = rampforge({**environment, **variables}, *words)
        return code, find_states(output)["role judge"]

    code, (state, _, fix) = look(server, **{KEY: "sk-wrong"})
    assert (code, state) == (1, "fail")
    assert "key" in fix
    code, (state, cause, fix) = look(replace(server, key=None))
    assert (code, state) == (1, "fail")
    assert "HTTP 500" in cause, "a proxy without a database has no other words for it"
    assert "llm.endpoints.e.key" in fix
    code, (state, cause, fix) = look(replace(server, model="no-such-model"))
    assert (code, state, fix) == (1, "fail", "set llm.roles.judge.model")
    assert "smol" in cause
