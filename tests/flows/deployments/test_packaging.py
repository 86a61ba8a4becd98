"""The files that bring rampforge to a cluster: what they name exists, and they agree with each other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flows.cli.app import app
from flows.deployments.automations import TAG
from flows.deployments.deployer import Target, fill_in, list_deployments
from schemas.config import RunConfig
from tests.support.pinned_packages import CONSTRAINTS, find_needed
from tests.support.places import REPOSITORY

FOLDER = REPOSITORY / "flows" / "deployments"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
OTHER_COMMANDS = {"prefect", "python", "pg_isready", "curl"}
OPTION = re.compile(r"^--[a-z-]+$")


def read_dockerfile() -> list[tuple[str, list[str]]]:
    """Each instruction with its words; lines that go on are joined."""
    text = re.sub(r"\\\n", " ", (FOLDER / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(words[0], words[1:]) for words in (line.split() for line in lines)]


def test_dockerfile_copies_what_is_there_between_stages_that_are_there() -> None:
    stages: list[str] = []
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    for instruction, words in read_dockerfile():
        if instruction == "FROM":
            assert words[0] in stages or ":" in words[0], words
            stages.append(words[2])
        if instruction == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        elif instruction == "COPY":
            for source in words[:-1]:
                assert (REPOSITORY / source).exists(), source
                assert f"!{source.split('/')[0]}" in ignored, source
    assert {"cpu", "cuda"} < set(stages)
    assert stages[-1] == "cpu", "the one that is built when none is named"
    args = next(words for instruction, words in read_dockerfile() if instruction == "ARG")
    assert args[0].removeprefix("PYTHON=") in PROJECT["requires-python"], "the oldest Python that we support"


def list_commands() -> Iterator[tuple[list[str], str]]:
    """Every command that some file starts in our image, and where."""
    for name, service in yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"].items():
        if service["image"].startswith("rampforge"):
            yield [*service.get("entrypoint", ["rampforge"]), *service["command"]], f"compose: {name}"
    for part in read_kubernetes():
        for container in find_containers(part):
            if container["image"].startswith("rampforge"):
                words = [*container.get("command", ["rampforge"]), *container.get("args", [])]
                yield words, f"kubernetes: {container['name']}"


def read_kubernetes() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text()))


def find_containers(part: dict[str, Any]) -> list[dict[str, Any]]:
    containers: list[dict[str, Any]] = part.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
    return containers


@pytest.mark.parametrize(("words", "where"), list(list_commands()), ids=str)
def test_commands_and_their_options_exist(words: list[str], where: str) -> None:
    if words[0] in OTHER_COMMANDS:
        return
    command: Any = typer.main.get_command(app)
    assert words[0] == "rampforge"
    rest = words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert command.name not in ("main", None)
    assert {word for word in rest if OPTION.match(word)} <= options, where


def test_compose_refers_to_what_it_has() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[other]
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in compose["configs"]
    RunConfig.model_validate(yaml.safe_load(compose["configs"]["job"]["content"]))
    vllm = yaml.safe_load((REPOSITORY / "flows" / "environments" / "vllm.yaml").read_text())["requirements"]
    assert f"vllm=={services['vllm']['image'].split(':v')[1]}" in vllm, "one version of vLLM everywhere"


def test_kubernetes_refers_to_what_it_has() -> None:
    parts = read_kubernetes()
    names = {(part["kind"], part["metadata"]["name"]) for part in parts}
    for part in parts:
        if part["kind"] == "Service":
            app_of = part["spec"]["selector"]["app"]
            assert {("Deployment", app_of), ("StatefulSet", app_of)} & names
        spec = part.get("spec", {}).get("template", {}).get("spec", {})
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"]: {} for claim in part.get("spec", {}).get("volumeClaimTemplates", [])}
        for container in find_containers(part):
            assert {mount["name"] for mount in container.get("volumeMounts", [])} <= set(volumes)
            ports = {port["name"] for port in container.get("ports", [])}
            probe = container.get("readinessProbe", {})
            assert {kind["port"] for kind in probe.values() if isinstance(kind, dict) and "port" in kind} <= ports
        for volume in volumes.values():
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in names
            if config := volume.get("configMap"):
                assert ("ConfigMap", config["name"]) in names
    (job,) = [part for part in parts if part["kind"] == "ConfigMap"]
    RunConfig.model_validate(yaml.safe_load(job["data"]["job.yaml"]))


def test_no_secret_is_written_down() -> None:
    for path in (FOLDER / "compose.yaml", FOLDER / "kubernetes.yaml", FOLDER / "prefect.yaml"):
        for line in path.read_text().splitlines():
            if re.search(r"(PASSWORD|TOKEN|SECRET)\b.*:", line) and not line.lstrip().startswith("#"):
                assert re.search(r"\$\{|\$\(|secretKeyRef|name: (data|search)|args: ", line), line


def test_constraints_are_those_of_what_runs_here() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    needed = [Requirement(text) for text in PROJECT["dependencies"]]
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate():
            name = str(canonicalize_name(requirement.name))
            assert requirement.specifier.contains(pinned[name]), (
                f"{name}: python -m tests.support.pinned_packages writes anew"
            )
    other = {name: found for name, found in find_needed().items() if pinned.get(name) != found}
    assert not other, "python -m tests.support.pinned_packages writes it anew"


@pytest.mark.parametrize("name", list_deployments())
def test_deployments_have_forms_schedules_and_parameters_that_fit(name: str) -> None:
    from flows.deployments import deployer

    (entry,) = [entry for entry in deployer._read_deployments()["deployments"] if entry["name"] == name]
    config = RunConfig.model_validate({"corpus": {"sources": ["dump.xml.bz2"]}})
    filled = fill_in(entry, Target(folder=Path("/data")), config)
    flow = deployer._load(entry["entrypoint"])
    flow.validate_parameters(filled["parameters"])
    assert TAG in entry["tags"]
    assert filled["work_pool"]["job_variables"]["working_dir"] == "/data"
    sections = set(RunConfig.model_fields) & set(flow.parameters.properties)
    assert sections, "a form has sections of the configuration"
    for field, schema in flow.parameters.properties.items():
        assert "$ref" in schema or schema.get("description"), f"{name}: {field} is not explained"
    for definition in (flow.parameters.definitions or {}).values():
        for field, schema in definition.get("properties", {}).items():
            assert "$ref" in schema or schema.get("description"), f"{definition['title']}: {field} is not explained"


def test_release_runs_what_ci_runs() -> None:
    release = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "release.yml").read_text())
    steps = [step for job in release["jobs"].values() for step in job["steps"]]
    assert any(step.get("run", "").strip() == "bash .ci/run" for step in steps)
    for job in release["jobs"].values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(release["jobs"])
