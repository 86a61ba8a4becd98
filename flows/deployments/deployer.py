"""Deployment to a Prefect server: work pool, deployments with their forms and schedules, automations.

`prefect.yaml` beside this module defines the deployments; no code refers to one by name. Guarantees: repeating it
changes what differs and duplicates nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from flows.prefect_api.ephemeral_server import find_fault, name_server
from pipeline.errors import ConfigError, RampforgeError
from schemas.config import RunConfig

DEPLOYMENTS = files("flows.deployments") / "prefect.yaml"
PROCESS = "process"
"""Type of work pool whose workers start flows as local processes."""
DEPLOY_SECONDS = 300.0


class DeploymentError(RampforgeError):
    """Prefect rejected a deployment."""


@dataclass(frozen=True, slots=True)
class Target:
    """Destination of deployments, and the environment of their runs."""

    pool: str = "rampforge"
    """The work pool."""
    kind: str = PROCESS
    """Type of the pool, if it has to be created."""
    limit: int | None = None
    """Maximum concurrent flow runs in the pool; None: no limit."""
    out: str | None = None
    """Parent folder of the runs; None: as in prefect.yaml."""
    folder: Path = Path()
    """Working folder of workers of type `process`, to which relative paths refer."""
    paused: bool = False
    """Create the schedules inactive."""


def list_deployments() -> list[str]:
    """Return the names of the deployments."""
    return [entry["name"] for entry in _read_deployments()["deployments"]]


def deploy(target: Target, config: RunConfig | None, only: Collection[str] = ()) -> list[str]:
    """Create deployments on the server at PREFECT_API_URL; return their full names.

    Raises ConfigError if there is no server, or for an unknown name; DeploymentError otherwise.
    """
    _require_server()
    if unknown := set(only) - set(list_deployments()):
        raise ConfigError(f"no deployment {min(unknown)}", f"the deployments are {', '.join(list_deployments())}")
    plan = _read_deployments()
    plan["deployments"] = [
        fill_in(entry, target, config) for entry in plan["deployments"] if not only or entry["name"] in only
    ]
    _settle_pool(target)
    _apply(plan)
    return [f"{_load(entry['entrypoint']).name}/{entry['name']}" for entry in plan["deployments"]]


def _read_deployments() -> dict[str, Any]:
    plan: dict[str, Any] = yaml.safe_load(DEPLOYMENTS.read_text("utf-8"))
    plan.pop("definitions")  # YAML anchors only
    return plan


def fill_in(entry: Mapping[str, Any], target: Target, config: RunConfig | None) -> dict[str, Any]:
    """Return a deployment of `prefect.yaml`, for this pool, with the sections of a configuration as its parameters."""
    flow = _load(entry["entrypoint"])
    parameters = dict(entry["parameters"])
    if config is not None:
        sections = config.model_dump(mode="json", exclude_defaults=True)
        for name in sections.keys() & flow.parameters.properties.keys():
            parameters[name] = _merge(parameters.get(name), sections[name])
    if target.out:
        parameters["out"] = target.out
    variables = dict(entry["work_pool"]["job_variables"])
    if target.kind == PROCESS:
        variables["working_dir"] = str(target.folder.resolve())
    schedules = [
        {**schedule, "active": schedule.get("active", True) and not target.paused} for schedule in entry["schedules"]
    ]
    pool = {"name": target.pool, "job_variables": variables}
    return {**entry, "parameters": parameters, "work_pool": pool, "schedules": schedules}


def _merge(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {key: _merge(below.get(key), above[key]) if key in above else below[key] for key in below | above}


def _load(entrypoint: str) -> Any:
    from prefect.flows import load_flow_from_entrypoint

    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _require_server() -> None:
    url = name_server()
    start = "prefect server start, then export PREFECT_API_URL=http://127.0.0.1:4200/api"
    if not url:
        raise ConfigError("PREFECT_API_URL is not set: no Prefect server to deploy to", start)
    if fault := find_fault(url):
        raise ConfigError(f"no Prefect server at {url}: it {fault}", start)


def _settle_pool(target: Target) -> None:
    """Create the work pool if it does not exist, set its limit, and create the automations."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    from flows.deployments.automations import settle_automations

    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(target.pool)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=target.pool, type=target.kind))
        if target.limit is not None:
            client.update_work_pool(target.pool, WorkPoolUpdate(concurrency_limit=target.limit))
        settle_automations(client)


def _apply(plan: Mapping[str, Any]) -> None:
    """Pass a `prefect.yaml` to the command of Prefect."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(yaml.safe_dump(dict(plan), sort_keys=False), "utf-8")
        words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=DEPLOY_SECONDS, env=dict(os.environ))  # noqa: S603 - our own words
    if done.returncode:
        raise DeploymentError(
            f"prefect deploy failed: {_shorten(done.stdout + done.stderr)}", "prefect version; prefect config view"
        )


def _shorten(output: str) -> str:
    """Return the reason for Prefect's error, without its frames and tracebacks."""
    words = " ".join(word for word in output.split() if any(character.isalnum() for character in word))
    return words[words.rfind("Error") :][:500] if "Error" in words else words[-500:]
