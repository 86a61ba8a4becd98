"""The `distill` section of the configuration: number and size of rounds, stopping rules, models to train.

A distillation is a folder of runs. Round 0 is the cold start by the configured agents; in round r a teacher, trained on
the accepted trajectories of all earlier rounds, attempts tasks that no earlier round has used.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.rewards import Reward, RewardName
from schemas.tasks import MOST_MASKS
from schemas.training import Tuning


class StartFrom(StrEnum):
    """Starting point of a teacher's fine-tuning."""

    BASE = "base"
    """The base model, anew in each round, on all accepted trajectories."""
    PREVIOUS = "previous"
    """The teacher of the previous round."""


class OnRegression(StrEnum):
    """Action when a teacher is worse than the best one so far."""

    STOP = "stop"
    """End the loop after writing the round's record, without attempts by this teacher."""
    FALL_BACK = "fall-back"
    """Let the best teacher so far make the round's trajectories."""
    GO_ON = "go-on"
    """Record the regression and continue."""


class TuningConfig(Frozen):
    """Supervised fine-tuning of a teacher, or of the student."""

    epochs: float = Field(default=2.0, gt=0)
    """Passes over the rows, unless `steps` is set."""
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; null: as many as the epochs give."""
    batch: int = Field(default=8, ge=1)
    """Rows per process in one batch."""
    accumulate: int = Field(default=1, ge=1)
    """Gradient accumulation: batches per optimiser step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate."""
    tuning: Tuning = Tuning.FULL
    """Train all weights, or an adapter that is merged in at the end."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapter."""
    bf16: bool | None = None
    """Train in bfloat16; null: on GPUs that support it."""
    checkpointing: bool = False
    """Recompute activations: less memory, more time."""
    max_length: int = Field(default=4096, ge=16)
    """Maximum tokens of a row; longer rows are left out."""
    curriculum: bool = False
    """Order the rows from easy to hard."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between checkpoints, from which an interrupted training resumes."""
    gpus: int | None = Field(default=None, ge=0)
    """Number of GPUs; null: all, 0: the CPU."""


class ReinforcementConfig(Frozen):
    """Reinforcement learning of the student, on tasks that are sometimes solved."""

    steps: int = Field(default=0, ge=0)
    """Optimiser steps; 0: no reinforcement learning."""
    batch: int = Field(default=8, ge=1)
    """Completions per process in one batch."""
    accumulate: int = Field(default=1, ge=1)
    """Gradient accumulation: batches per optimiser step."""
    group: int = Field(default=8, ge=2)
    """Completions of one task (the group of GRPO)."""
    turns: int = Field(default=4, ge=1)
    """Maximum searches in one completion."""
    max_prompt: int = Field(default=2048, ge=16)
    """Maximum tokens of a prompt."""
    max_completion: int = Field(default=1024, ge=16)
    """Maximum tokens of a completion, search results included."""
    max_turn: int = Field(default=256, ge=8)
    """Maximum tokens between two searches."""
    max_results: int = Field(default=512, ge=16)
    """Maximum tokens of the results of one search."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate."""
    tuning: Tuning = Tuning.FULL
    """Train all weights, or an adapter."""
    reward: Reward = RewardName.F1
    """Reward function, or MODULE:FUNCTION of your own, called as `function(completion, answers, golds, question)`; it
    returns a number from 0 to 1."""
    resample: int = Field(default=2, ge=0)
    """Rounds of dynamic sampling per optimiser step."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between checkpoints."""
    gpus: int | None = Field(default=None, ge=0)
    """Number of GPUs; null: all, 0: the CPU."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        # Otherwise the trainer would report it only after all rounds.
        if self.batch * self.accumulate % self.group:
            raise ValueError(
                f"batch x accumulate ({self.batch * self.accumulate}) must be a multiple of the group ({self.group})"
            )
        if self.reward is RewardName.JUDGE:
            raise ValueError(
                "the reward `judge` is not available here, since no judge can be set; use recall, f1 or em"
            )
        return self


class StudentConfig(Frozen):
    """Student, trained on all rounds at the end."""

    enabled: bool = True
    """Train a student."""
    base: str | None = None
    """Base model of the student; null: that of the teachers."""
    sft: TuningConfig = TuningConfig()
    """Supervised fine-tuning of the student."""
    rl: ReinforcementConfig = ReinforcementConfig()
    """Reinforcement learning of the student afterwards."""


class ValidationConfig(Frozen):
    """Comparison of a teacher with the previous one."""

    tasks: int = Field(default=64, ge=0)
    """Held-out tasks, on pages that no round uses; 0 disables validation."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the pages held out for validation."""
    mask_counts: tuple[int, ...] = (1, 2)
    """Numbers of masks of the held-out tasks."""
    questions: str | None = None
    """File of questions to validate on instead of held-out tasks."""
    sample: int | None = Field(default=None, ge=1)
    """Number of questions to draw; null: all."""
    baseline: bool = True
    """Also validate the untrained base model, as the result of round 0."""


class StopConfig(Frozen):
    """Rules that end the loop before its last round. They do not affect rows and may change between sessions."""

    recall: float | None = Field(default=None, gt=0, le=1)
    """Validation recall at which the loop ends."""
    accept_rate: float = Field(default=0.0, ge=0, lt=1)
    """Acceptance rate below which a round is the last."""
    diversity: float = Field(default=0.0, ge=0, lt=1)
    """Diversity below which a round is the last: distinct word pairs among a thousand of its thoughts, as a share."""
    patience: int = Field(default=2, ge=1)
    """Consecutive rounds without gain in validation recall after which the loop ends."""
    min_gain: float = Field(default=0.0, ge=0, lt=1)
    """Minimum gain in validation recall over the best so far that counts as a gain."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens of language models over all rounds after which no round is started."""
    money: float | None = Field(default=None, gt=0)
    """Cost over all rounds after which no round is started."""
    hours: float | None = Field(default=None, gt=0)
    """Hours of work over all rounds after which no round is started."""


class DistillConfig(Frozen):
    """Rounds of self-distillation: `rampforge distill`."""

    rounds: int = Field(default=2, ge=0, le=99)
    """Rounds after the cold start."""
    base: str = "smollm2-135m-instruct"
    """Base model of the teachers: an asset, a folder or a hub name."""
    start_from: StartFrom = StartFrom.BASE
    """Starting point of each teacher: the base model on all accepted trajectories, or the previous teacher."""
    tasks: tuple[int, ...] = (256,)
    """New tasks in round 0, 1, 2 and so on; the last number applies to all later rounds."""
    curriculum: tuple[tuple[int, ...], ...] = ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))
    """Numbers of masks in round 0, 1, 2 and so on; the last entry applies to all later rounds."""
    attempts: int = Field(default=4, ge=1, le=64)
    """Attempts of a teacher at each task, for each hide mode."""
    sft: TuningConfig = TuningConfig()
    """Supervised fine-tuning of the teachers."""
    validation: ValidationConfig = ValidationConfig()
    """Comparison of the teachers."""
    regression: float = Field(default=0.05, ge=0, le=1)
    """Loss of validation recall against the best teacher that counts as a regression."""
    on_regression: OnRegression = OnRegression.FALL_BACK
    """Action on a regression."""
    stop: StopConfig = StopConfig()
    """Rules that end the loop early."""
    student: StudentConfig = StudentConfig()
    """Student, trained at the end."""

    @model_validator(mode="after")
    def _counts_masks(self) -> Self:
        if not self.tasks or min(self.tasks) < 1:
            raise ValueError("tasks needs at least one number, each 1 or more")
        entries = (*self.curriculum, self.validation.mask_counts)
        if not self.curriculum or not all(entry and set(entry) <= set(range(1, MOST_MASKS + 1)) for entry in entries):
            raise ValueError(f"curriculum and validation.mask_counts take numbers from 1 to {MOST_MASKS}")
        return self

    def tasks_of(self, number: int) -> int:
        """Return the number of new tasks of a round."""
        return self.tasks[min(number, len(self.tasks) - 1)]

    def masks_of(self, number: int) -> tuple[int, ...]:
        """Return the numbers of masks of a round."""
        return self.curriculum[min(number, len(self.curriculum) - 1)]
