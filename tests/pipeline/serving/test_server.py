"""The managed server, with a stand-in for vLLM: it comes up, is started again once, and says why it failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from pipeline.serving.managed_server import ManagedServer, ServerSpec, ServingError
from tests.pipeline.serving.test_processes import is_gone, wait_for
from tests.support.fake_vllm import install_vllm

PARENT = """
import os, sys, time
from pathlib import Path
from pipeline.serving.managed_server import ManagedServer, ServerSpec
model, packages, logs = sys.argv[1:]
spec = ServerSpec(Path(sys.executable), model, "tiny", variables={**os.environ, "PYTHONPATH": packages})
with ManagedServer(spec, Path(logs)):
    Path(model, "up").touch()
    time.sleep(600)
"""
# Dies between the start of the server and that of the guard, which comes second.
HASTY = """
import os, subprocess
start, begun = subprocess.Popen, []
def begin(*words, **how):
    if begun:
        os.kill(os.getpid(), 9)
    begun.append(start(*words, **how))
    return begun[0]
subprocess.Popen = begin
"""


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


@pytest.mark.parametrize("state", ["comes up", "comes up deaf", "is up", "is suspended", "is suspended with us"])
def test_no_server_outlives_a_killed_parent(state: str, tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    model = Path(spec.model)
    waited = model / ("start-0" if state.startswith("comes up") else "up")
    for name in ("loading",) * state.startswith("comes up") + ("deaf",) * state.endswith("deaf"):
        (model / name).touch()
    with start_parent(PARENT, spec, tmp_path) as parent:
        assert wait_for(waited.exists)
        (started,) = read_starts(spec)
        pid = int(started.partition(" ")[0])
        if "suspended" in state:
            os.kill(pid, signal.SIGSTOP)
        if state.endswith("us"):
            parent.send_signal(signal.SIGSTOP)
        assert not is_gone(pid)
        parent.kill()
    assert wait_for(lambda: is_gone(pid))


def test_a_parent_that_dies_before_its_guard_is_there_has_started_nothing(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    with start_parent(HASTY + PARENT, spec, tmp_path) as parent:
        assert parent.wait(30) == -signal.SIGKILL
    assert wait_for(lambda: not any(spec.model in " ".join(words) for words in list_commands()))
    assert read_starts(spec) == []


def start_parent(program: str, spec: ServerSpec, folder: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", program, spec.model, str(folder / "packages"), str(folder / "logs")]
    return subprocess.Popen(words)


def list_commands() -> list[list[str]]:
    """What every process of this machine was started with."""
    return [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]


def test_missing_interpreter_is_one_line(tmp_path: Path) -> None:
    spec = ServerSpec(tmp_path / "none", "m", "m")
    with pytest.raises(ServingError, match="cannot run"), ManagedServer(spec, tmp_path / "logs"):
        pass
