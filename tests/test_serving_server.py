"""The managed server, with a stand-in for vLLM: it comes up, is started again once, and says why it failed."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from pipeline.serving.managed_server import ManagedServer, ServerSpec, ServingError
from tests.fake_vllm import install_vllm
from tests.test_serving_processes import is_gone, wait_for


def make_spec(tmp_path: Path, **changes: object) -> ServerSpec:
    model = tmp_path / "model"
    model.mkdir()
    variables = {**os.environ, "PYTHONPATH": str(install_vllm(tmp_path / "packages"))}
    values = {"max_model_len": 512, "arguments": ("--dtype", "float32"), "startup_seconds": 30.0, **changes}
    return ServerSpec(Path(sys.executable), str(model), "tiny", variables=variables, **values)  # type: ignore[arg-type]  # each test names its own


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/health") as reply:
            return int(reply.status) == 200
    except OSError:
        return False


def read_starts(spec: ServerSpec) -> list[str]:
    return [path.read_text() for path in sorted(Path(spec.model).glob("start-*"))]


def test_server_answers_inside_the_block_only(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, tensor_parallel=2, data_parallel=4)
    with ManagedServer(spec, tmp_path / "logs") as server:
        assert answers(server.url)
        server.check()
        pid = server.pid
    assert not answers(server.url)
    assert pid is not None
    assert is_gone(pid)
    (started,) = read_starts(spec)
    wanted = (
        "--served-model-name tiny --tensor-parallel-size 2 --data-parallel-size 4 --max-model-len 512 --dtype float32"
    )
    assert started.endswith(wanted)
    assert "--host 127.0.0.1" in started
    assert "loading tiny" in server.log.read_text()


def test_server_that_dies_is_started_again_once_at_the_same_address(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    with ManagedServer(spec, tmp_path / "logs") as server:
        first = server.pid
        assert first is not None
        os.kill(first, 9)
        assert wait_for(lambda: server.pid != first and answers(server.url))
        server.check()
        assert server.pid is not None
        os.kill(server.pid, 9)
        assert wait_for(lambda: server.failure is not None)
        with pytest.raises(ServingError, match=r"died again|before it answered"):
            server.check()
    assert len(read_starts(spec)) == 2
    assert server.log.read_text().count("--- start") == 2


def test_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    (Path(spec.model) / "broken").touch()
    with pytest.raises(ServingError, match="no such architecture") as caught, ManagedServer(spec, tmp_path / "logs"):
        pass
    assert "server.log" in caught.value.fix
    assert len(read_starts(spec)) == 1


def test_server_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    spec = make_spec(tmp_path, startup_seconds=0.0)
    with pytest.raises(ServingError, match="did not answer within"), ManagedServer(spec, tmp_path / "logs"):
        pass


def test_missing_interpreter_is_one_line(tmp_path: Path) -> None:
    spec = ServerSpec(tmp_path / "none", "m", "m")
    with pytest.raises(ServingError, match="cannot run"), ManagedServer(spec, tmp_path / "logs"):
        pass
