"""Progress of a trainer: one line per step, a marker in every complete checkpoint, and no step beyond the request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.training.folders import TrainingFolder, find_checkpoint, mark_whole
from pipeline.training.trainers.loading import list_versions, name_device, save_model, write_attempt
from schemas.training import TrainingRequest

KEPT = ("loss", "learning_rate", "grad_norm", "epoch", "num_tokens", "mean_token_accuracy", "entropy")

Tell = Callable[[], dict[str, float]]


class _AllStepsTakenError(Exception):
    """Training continues from a checkpoint of its last step."""


def train_from(trainer: Any, checkpoint: Path | None) -> None:
    """Train to the end from this checkpoint, or from the start; one of the last step is only loaded.

    The trainer alone would take one more step there, as it looks whether it is done after a step, never before one.
    """
    with suppress(_AllStepsTakenError):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def train_and_save(
    trainer: Any, tokenizer: Any, request: TrainingRequest, folder: TrainingFolder, progress: TrainingProgress
) -> None:
    """Train to the end, from the newest complete checkpoint if there is one; write the model and the measurements."""
    path, step = find_checkpoint(folder) or (None, None)
    train_from(trainer, path)
    save_model(trainer, tokenizer, request, folder)
    if trainer.accelerator.is_main_process:
        attempt = {
            "steps": trainer.state.global_step,
            "seconds": progress.seconds,
            "tokens": progress.tokens,
            "resumed_from": step,
            "device": name_device(),
            "processes": trainer.accelerator.num_processes,
            "versions": list_versions(),
        }
        write_attempt(folder, attempt)


class TrainingProgress(TrainerCallback):
    """Callback that writes `metrics.jsonl` and the markers, and times the steps."""

    def __init__(self, folder: TrainingFolder, prefixes: tuple[str, ...] = (), more: Tell | None = None) -> None:
        """`prefixes`: of further metrics to write; `more`: further values of a step."""
        self._folder = folder
        self._prefixes = prefixes
        self._more = more
        self._began = self._last = self._before = 0.0
        self.seconds = 0.0
        """Seconds spent in steps."""
        self.tokens = 0.0
        """Tokens of this attempt, as counted by the trainer."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Note the count of tokens at the start: GRPOTrainer continues that of its checkpoint."""
        if state.global_step >= state.max_steps:
            raise _AllStepsTakenError
        self._before = float(state.num_input_tokens_seen)

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Start the timer of a step."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Stop the timer of a step."""
        self._last = time.perf_counter() - self._began
        self.seconds += self._last

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Write the metrics of a step; the summary at the end is not a step."""
        logs: dict[str, Any] = more["logs"]
        if not state.is_world_process_zero or "train_runtime" in logs:
            return
        metrics = {name: value for name, value in logs.items() if name in KEPT or name.startswith(self._prefixes)}
        self.tokens = float(logs.get("num_tokens", self.tokens + self._before)) - self._before
        more = self._more() if self._more else {}
        line = {"step": state.global_step, **metrics, **more, "seconds": round(self._last, 4)}
        with self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Mark a checkpoint as complete."""
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
