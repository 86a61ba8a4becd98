"""What is tried with every model server: doctor, a run with agents, extractor and judge, and what only vLLM can do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.judging.calibration import read_labelled
from pipeline.llm.errors import REFUSALS
from pipeline.storage.run_folder import RunFolder
from schemas.funnel import FunnelStep
from tests.support.model_servers import MODEL, ModelServer, find_states, rampforge

Environment = Mapping[str, str]
SCORER: dict[str, Any] = {"scorer": MODEL, "selection": "perplexity"}
POLICY: dict[str, Any] = {"model": MODEL, "max_prompt": 800, "max_turn": 48, "max_completion": 160, "temperature": 0.0}
ROLES = ("extractor", "planner", "rewriter", "observer", "judge")
TASKS = 3


def check_doctor(server: ModelServer, environment: Environment, folder: Path) -> None:
    """Everything is well, the list of models apart, which a server may lack."""
    code, output = rampforge(environment, "doctor", "--config", str(server.write_config(folder)), "--out", str(folder))
    assert code == 0, output
    states = find_states(output)
    assert {states[f"role {role}"][0] for role in ROLES} == {"ok"}
    assert states["endpoint e"][0] == "ok"


def check_run(server: ModelServer, environment: Environment, folder: Path) -> dict[tuple[str, str], FunnelStep]:
    """Every task is attempted and no request refused; returns the funnel. Most attempts of a model this small fail."""
    steps = run(environment, folder, server.write_config(folder))
    assert steps["trajectories", "task"].entered == TASKS
    assert steps["proposals", "passage"].entered > TASKS
    assert not REFUSALS & {reason for step in steps.values() for reason in step.rejected}
    spending = RunFolder(folder / "run").record().spending
    assert spending is not None
    calls = {spent.role: spent.calls for spent in spending.roles}
    assert set(calls) >= {*ROLES}
    assert calls["extractor"] > TASKS
    assert calls["planner"] > TASKS
    return steps


def check_calibration(server: ModelServer, environment: Environment, folder: Path) -> None:
    """The judge gives a verdict, or is unreadable, and is not refused."""
    pairs, config = folder / "pairs.jsonl", server.write_config(folder)
    pairs.write_text("".join(f"{one.model_dump_json()}\n" for one in read_labelled()[:2]))
    words = ["--config", str(config), "--pairs", str(pairs), "--out", str(folder / "out"), "--json"]
    code, output = rampforge(environment, "calibrate", *words)
    assert code == 0, output
    told = json.loads(output[output.index("{") :])
    assert told["answers"] == 2
    assert not any("error" in counts for counts in told["categories"].values())


def refuse_scorer(server: ModelServer, environment: Environment, folder: Path) -> tuple[str, str]:
    """Doctor says why it cannot score, and what can; a run does not start."""
    roles = {"default": {"model": server.model}, "scorer": {"model": server.model}}
    return _refuse(server, environment, folder, "prompt_logprobs", masking=SCORER, roles=roles)


def refuse_policy(server: ModelServer, environment: Environment, folder: Path) -> tuple[str, str]:
    """Doctor says why it cannot play the policy, and what can; a run does not start."""
    return _refuse(server, environment, folder, "role policy", agents={"policy": "policy"}, policy=POLICY)


def _refuse(
    server: ModelServer,
    environment: Environment,
    folder: Path,
    subject: str,
    roles: dict[str, Any] | None = None,
    **sections: dict[str, Any],
) -> tuple[str, str]:
    config = server.write_config(folder, roles, **sections)
    code, output = rampforge(environment, "doctor", "--config", str(config), "--out", str(folder))
    assert code == 1, output
    state, cause, fix = find_states(output)[subject]
    assert state == "fail"
    assert "vLLM" in fix
    code, output = rampforge(environment, "run", "--config", str(config), "--out", str(folder), "--name", "run")
    assert code == 1, output
    assert "Traceback" not in output
    assert not (folder / "run").exists(), "a refused start writes nothing"
    return cause, fix


def run(environment: Environment, folder: Path, config: Path) -> dict[tuple[str, str], FunnelStep]:
    """Run to the end; returns the funnel by stage and unit."""
    code, output = rampforge(environment, "run", "--config", str(config), "--out", str(folder), "--name", "run")
    assert code == 0, output
    return {(step.stage, step.unit): step for step in RunFolder(folder / "run").record().funnel}
