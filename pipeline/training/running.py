"""Training from request to result: write the trainer's inputs, run it, read its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.storage.files import write_atomically
from pipeline.training.curves import read_curve
from pipeline.training.folders import TrainingFolder, find_checkpoint
from pipeline.training.launching import (
    FSDP_FILE,
    VARIABLES,
    TrainingFleet,
    copy_source,
    launch_words,
    shards_weights,
    write_fsdp,
)
from pipeline.training.requests import TrainingError
from pipeline.training.trainer_process import run_trainer
from schemas.funnel import FunnelStep
from schemas.training import RlRequest, SftRequest, StepMetrics, TrainingRequest, TrainingResult

PROGRAMS: dict[type[TrainingRequest], str] = {SftRequest: "sft", RlRequest: "rl"}
"""Program of each kind of request."""

Tell = Callable[[StepMetrics], None]
"""Receiver of every logged step."""


@dataclass(frozen=True, slots=True)
class TrainerEnvironment:
    """Environment of the trainers."""

    python: str
    """Interpreter of the environment."""
    variables: Mapping[str, str]
    """Environment variables of a trainer."""
    resume_command: str
    """Command that resumes a training."""


def run_training(
    request: TrainingRequest, fleet: TrainingFleet, workshop: TrainerEnvironment, funnel: FunnelStep, tell: Tell
) -> TrainingResult:
    """Train, from the newest complete checkpoint on. The rows and the request are in the folder.

    Returns the result of a training that is done already. Raises TrainingError.
    """
    folder = TrainingFolder(Path(request.output))
    if folder.result.exists() and folder.model.exists():
        return TrainingResult.model_validate_json(folder.result.read_bytes())
    if not fleet.layout.rank:  # machines share the folder: one writes
        copy_source(folder.source, request)
        folder.attempt.unlink(missing_ok=True)
    if shards_weights(request, fleet):
        write_atomically(folder.root / FSDP_FILE, write_fsdp(request).encode())
    begun = find_checkpoint(folder)
    follow = _Follower(folder, begun[1] if begun else 0, tell)
    run_trainer(
        launch_words(workshop.python, PROGRAMS[type(request)], request, fleet),
        {**workshop.variables, **VARIABLES, "PYTHONPATH": str(folder.source.resolve())},
        folder.log,
        follow.look,
        list_savings(request, fleet),
        workshop.resume_command,
    )
    if fleet.layout.rank:
        raise TrainingError("this machine has done its part", "the result is written by the machine of rank 0")
    return _conclude(folder, funnel)


def list_savings(request: TrainingRequest, fleet: TrainingFleet) -> list[str]:
    """Return the options to lower when memory runs out, most helpful first."""
    savings = [f"--batch {request.batch} (and raise --accumulate as much)"] if request.batch > 1 else []
    if not request.weights.checkpointing:
        savings.append("take --checkpointing")
    if isinstance(request, SftRequest):
        savings.append(f"--max-length {request.max_length}")
    if isinstance(request, RlRequest):
        savings += [f"--max-completion {request.rollouts.max_completion}", f"--group {request.rollouts.group}"]
    savings.append("train an adapter: --tuning lora")
    if fleet.gpus:
        savings.append("spread it over more GPUs")
    return savings


class _Follower:
    """Follower of the metrics: reports each step once."""

    def __init__(self, folder: TrainingFolder, told: int, tell: Tell) -> None:
        self._folder = folder
        self._told = told
        self._tell = tell
        self._size = -1

    def look(self) -> None:
        metrics = self._folder.metrics
        size = metrics.stat().st_size if metrics.exists() else 0
        if size == self._size:
            return
        self._size = size
        for step in read_curve(metrics):
            if step.step > self._told:
                self._told = step.step
                self._tell(step)


def _conclude(folder: TrainingFolder, funnel: FunnelStep) -> TrainingResult:
    try:
        attempt: dict[str, Any] = json.loads(folder.attempt.read_text("utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"the trainer left no result in {folder.root}", f"see {folder.log}") from None
    seconds = float(attempt["seconds"])
    result = TrainingResult(
        steps=int(attempt["steps"]),
        rows=funnel.passed,
        rejected=funnel.rejected,
        curve=read_curve(folder.metrics),
        tokens_per_second=float(attempt["tokens"]) / seconds if seconds else 0.0,
        seconds=seconds,
        resumed_from=attempt["resumed_from"],
        checkpoint=str(folder.model),
        device=str(attempt["device"]),
        processes=int(attempt["processes"]),
        versions=attempt["versions"],
    )
    write_atomically(folder.result, result.model_dump_json(indent=1).encode() + b"\n")
    return result
