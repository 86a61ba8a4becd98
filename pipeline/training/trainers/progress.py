"""A trainer's run: a line a step, a marker on every checkpoint that is whole, and no step more than was asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from pipeline.training.folders import TrainingFolder, mark_whole

KEPT = ("loss", "learning_rate", "grad_norm", "epoch", "num_tokens", "mean_token_accuracy", "entropy")

Tell = Callable[[], dict[str, float]]


class _AllStepsTakenError(Exception):
    """A checkpoint is that of the last step."""


def train_from(trainer: Any, checkpoint: Path | None) -> None:
    """Train to the end from this checkpoint, or from the beginning; from one of the last step, only load it.

    The trainer alone would take one more step there, as it looks whether it is done after a step, never before one.
    """
    with suppress(_AllStepsTakenError):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


class TrainingProgress(TrainerCallback):
    """Writes `metrics.jsonl` and the markers, and times the steps."""

    def __init__(self, folder: TrainingFolder, prefixes: tuple[str, ...] = (), more: Tell | None = None) -> None:
        """`prefixes`: of metrics that are kept besides the usual ones; `more`: what else is told of a step."""
        self._folder = folder
        self._prefixes = prefixes
        self._more = more
        self._began = self._last = self._before = 0.0
        self.seconds = 0.0
        """Time spent in steps."""
        self.tokens = 0.0
        """Tokens the trainer says it saw, in this attempt."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Training begins, all of a checkpoint loaded; GRPOTrainer goes on counting tokens where that stood."""
        if state.global_step >= state.max_steps:
            raise _AllStepsTakenError
        self._before = float(state.num_input_tokens_seen)

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A step begins."""
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A step is done."""
        self._last = time.perf_counter() - self._began
        self.seconds += self._last

    def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """The trainer says how a step went; what it says at the end of everything is no step."""
        logs: dict[str, Any] = more["logs"]
        if not state.is_world_process_zero or "train_runtime" in logs:
            return
        said = {name: value for name, value in logs.items() if name in KEPT or name.startswith(self._prefixes)}
        self.tokens = float(logs.get("num_tokens", self.tokens + self._before)) - self._before
        told = self._more() if self._more else {}
        line = {"step": state.global_step, **said, **told, "seconds": round(self._last, 4)}
        with self._folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def on_save(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """A checkpoint is written, all of it."""
        if state.is_world_process_zero:
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
