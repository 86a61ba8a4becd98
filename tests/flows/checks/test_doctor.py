"""`rampforge doctor`: every lack is a line that says how to mend it; keys are never shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from flows.cli.app import app
from flows.configuration.environments import environments_folder, read_recipe
from flows.configuration.run_config import load_config
from flows.models.roles import needs_server
from flows.models.serving import MANAGED, open_served_scorer, serve_models
from pipeline.errors import ConfigError
from pipeline.serving.environments import MARKER, EnvironmentBuildError, locate_python
from tests.pipeline.masking.test_perplexity import (
    list_surprisals,
    make_contexts,
    make_scorer,
    make_tokenizer,
    near,
)
from tests.support.fake_vllm import FakeServer, install_vllm, open_server
from tests.support.sample_dump import write_dump

DEAD = "http://127.0.0.1:9/v1"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with open_server(make_scorer()) as fake:
        yield fake


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAMPFORGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def write_config(tmp_path: Path, **sections: dict[str, Any]) -> str:
    """A configuration that needs nothing but a dump, changed as asked."""
    values: dict[str, dict[str, Any]] = {
        "corpus": {"sources": [str(write_dump(tmp_path / "dump.xml.bz2", towns=2))]},
        "masking": {"ner": None, "scorer": None, "selection": "random"},
    }
    for section, keys in sections.items():
        values[section] = values.get(section, {}) | keys
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return str(path)


def run_doctor(config: str, tmp_path: Path) -> Result:
    return CliRunner().invoke(app, ["doctor", "--config", config, "--out", str(tmp_path / "out")])


def find_line(result: Result, subject: str) -> str:
    (line,) = [line for line in result.output.splitlines() if f" {subject} " in line]
    return line


def test_all_is_well_without_models(tmp_path: Path) -> None:
    result = run_doctor(write_config(tmp_path), tmp_path)
    assert result.exit_code == 0, result.output
    assert "dump.xml.bz2" in find_line(result, "sources")
    assert "GiB free" in find_line(result, "disk")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named_with_its_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    sections: dict[str, Any] = {
        "corpus": {"sources": ["none.xml"]},
        "masking": {"scorer": "smollm2-135m-instruct", "ner": "en_core_web_sm"},
        "serving": {"mode": "managed", "environment": "trl", "model": "m"},
    }
    result = run_doctor(write_config(tmp_path, **sections), tmp_path)
    assert result.exit_code == 1
    for subject, fix in {
        "sources": "",
        "names: en_core_web_sm": "rampforge assets get en_core_web_sm",
        "surprisals: smollm2-135m-instruct": "rampforge assets get smollm2-135m-instruct",
        "environment trl": "rampforge env create trl",
        "Prefect": "unset PREFECT_API_URL",
    }.items():
        line = find_line(result, subject)
        assert "fail" in line
        assert fix in line


def test_endpoints_keys_and_roles(tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    endpoints = {
        "good": {"url": server.url, "key": "THE_KEY"},
        "down": {"url": DEAD, "roles": ["judge"]},
        "keyless": {"url": DEAD, "key": "UNSET_KEY", "roles": ["planner"]},
    }
    roles = {"default": {"model": "tiny"}, "observer": {"model": "huge"}}
    llm = {"endpoints": endpoints, "roles": roles}
    config = write_config(tmp_path, llm=llm, agents={"policy": "agents"}, judging={"judge": "llm"})
    result = run_doctor(config, tmp_path)
    assert result.exit_code == 1
    assert "serves tiny" in find_line(result, "endpoint good")
    assert "does not answer" in find_line(result, "endpoint down")
    assert "export UNSET_KEY=" in find_line(result, "endpoint keyless")
    assert "ok" in find_line(result, "role rewriter")
    assert "llm.roles.observer.model" in find_line(result, "role observer")
    assert "sk-very-secret" not in result.output


@pytest.mark.parametrize("with_logprobs", [True, False])
def test_served_scorer_is_tried(with_logprobs: bool, tmp_path: Path, server: FakeServer) -> None:
    server.with_logprobs = with_logprobs
    make_tokenizer().save_pretrained(tmp_path / "tokeniser")
    llm = {"roles": {"scorer": {"model": "tiny"}}, "endpoints": {"one": {"url": server.url}}}
    config = write_config(tmp_path, llm=llm, masking={"scorer": str(tmp_path / "tokeniser")})
    result = run_doctor(config, tmp_path)
    assert result.exit_code == (0 if with_logprobs else 1), result.output
    assert ("works" if with_logprobs else "prompt_logprobs") in find_line(result, "prompt_logprobs")
    if with_logprobs:
        with open_served_scorer(load_config(config), tmp_path) as scorer:
            assert near(scorer.score(make_contexts()[:1])) == list_surprisals(server.scorer.score(make_contexts()[:1]))


def test_external_serving_changes_nothing(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path))
    with serve_models(config, tmp_path, tmp_path / "logs") as served:
        assert served == config
    assert not (tmp_path / "logs").exists()
    with pytest.raises(ConfigError, match="needs a model"):
        load_config(None, ["serving.mode=managed"])


def test_managed_serving_joins_the_endpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "model"
    model.mkdir()
    serving = {"mode": "managed", "environment": "vllm-cpu", "model": str(model), "name": "tiny", "roles": ["judge"]}
    config = load_config(write_config(tmp_path, serving=serving))
    with pytest.raises(EnvironmentBuildError), serve_models(config, tmp_path, tmp_path / "logs"):
        pass
    put_environment(tmp_path / "cache", install_vllm(tmp_path / "packages"), monkeypatch)
    with serve_models(config, tmp_path, tmp_path / "logs") as served:
        endpoint = served.llm.endpoints[MANAGED]
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert endpoint.roles == ("judge",)
    assert served.model_copy(update={"llm": config.llm}) == config
    assert "start 1" in (tmp_path / "logs" / "server.log").read_text()


def put_environment(cache: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make our own interpreter pass for the environment vllm-cpu, with a stand-in for vLLM on its path."""
    folder = environments_folder() / "vllm-cpu"
    assert folder.is_relative_to(cache)
    python = locate_python(folder)
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / MARKER).write_text(json.dumps({"digest": read_recipe("vllm-cpu").digest}))


@pytest.mark.parametrize(("roles", "asked"), [((), False), (("planner",), False), (("planner", "judge"), True)])
def test_the_managed_server_is_started_for_its_roles_only(roles: tuple[str, ...], asked: bool, tmp_path: Path) -> None:
    serving = {"mode": "managed", "model": "m", "roles": ["judge"]}
    config = load_config(write_config(tmp_path, serving=serving))
    assert needs_server(config, roles) is asked
    assert not needs_server(load_config(write_config(tmp_path)), roles)
