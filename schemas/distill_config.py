"""The `distill` section of the configuration: how many rounds, how large, when to stop, who is trained.

A distillation is a folder of runs. Round 0 is the cold start by the configured agents; round r is a teacher, trained on
what was accepted in all rounds before it, at work on tasks that no round before it has met.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.rewards import RewardName
from schemas.training import Tuning


class StartFrom(StrEnum):
    """What a teacher is fine-tuned from."""

    BASE = "base"
    """The base model, anew in each round, on all that was accepted."""
    PREVIOUS = "previous"
    """The teacher of the round before."""


class OnRegression(StrEnum):
    """What happens when a teacher is worse than the best one so far."""

    STOP = "stop"
    """The loop ends after its record is written; nothing is attempted by it."""
    FALL_BACK = "fall-back"
    """The best teacher so far makes the round's trajectories."""
    GO_ON = "go-on"
    """It is noted, no more."""


class TuningConfig(Frozen):
    """Supervised fine-tuning of a teacher, or of the student."""

    epochs: float = Field(default=2.0, gt=0)
    """Passes over the rows, where no steps are given."""
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; null: as many as the epochs give."""
    batch: int = Field(default=8, ge=1)
    """Rows that one process takes at once."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in one step."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate."""
    tuning: Tuning = Tuning.FULL
    """All weights, or an adapter that is merged in at the end."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapter."""
    bf16: bool | None = None
    """Train in bfloat16; null: on GPUs that can."""
    checkpointing: bool = False
    """Recompute activations: less memory, more time."""
    max_length: int = Field(default=4096, ge=16)
    """Longest row in tokens; longer ones are left out."""
    curriculum: bool = False
    """Easy rows first."""
    save_every: int = Field(default=50, ge=1)
    """Steps between checkpoints, from which a training that broke off goes on."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs; null: all, 0: the CPU."""


class ReinforcementConfig(Frozen):
    """Reinforcement learning of the student, on tasks that are solved sometimes."""

    steps: int = Field(default=0, ge=0)
    """Optimiser steps; 0: no reinforcement learning."""
    batch: int = Field(default=8, ge=1)
    """Completions that one process takes at once."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in one step."""
    group: int = Field(default=8, ge=2)
    """Completions of one task."""
    turns: int = Field(default=4, ge=1)
    """Searches in one completion at most."""
    max_prompt: int = Field(default=2048, ge=16)
    """Longest prompt in tokens."""
    max_completion: int = Field(default=1024, ge=16)
    """Longest completion in tokens, results counted."""
    max_turn: int = Field(default=256, ge=8)
    """Longest stretch between searches, in tokens."""
    max_results: int = Field(default=512, ge=16)
    """Longest results of one search, in tokens."""
    learning_rate: float = Field(default=1e-6, gt=0)
    """Learning rate."""
    tuning: Tuning = Tuning.FULL
    """All weights, or an adapter."""
    reward: RewardName = RewardName.F1
    """What is paid."""
    resample: int = Field(default=2, ge=0)
    """Rounds of dynamic sampling in one step."""
    save_every: int = Field(default=50, ge=1)
    """Steps between checkpoints."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs; null: all, 0: the CPU."""

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        # A fault that only the trainer would find is found after all rounds.
        if self.batch * self.accumulate % self.group:
            raise ValueError(
                f"batch x accumulate ({self.batch * self.accumulate}) must be a multiple of the group ({self.group})"
            )
        if self.reward is RewardName.JUDGE:
            raise ValueError("no judge can be named here for the reward `judge`: take recall, f1 or em")
        return self


class StudentConfig(Frozen):
    """What is trained on all rounds at the end."""

    enabled: bool = True
    """Train a student at all."""
    base: str | None = None
    """The model to start from; null: that of the teachers."""
    sft: TuningConfig = TuningConfig()
    """How it is fine-tuned."""
    rl: ReinforcementConfig = ReinforcementConfig()
    """How it is trained with search afterwards."""


class ValidationConfig(Frozen):
    """How it is seen whether a teacher is better than the one before."""

    tasks: int = Field(default=64, ge=0)
    """Tasks held out, on pages that no round takes a task from; 0: nothing is validated."""
    share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the pages set apart for them."""
    mask_counts: tuple[int, ...] = (1, 2)
    """Numbers of masks of these tasks."""
    questions: str | None = None
    """A file of questions that the teacher answers instead."""
    sample: int | None = Field(default=None, ge=1)
    """So many of these questions; null: all."""
    baseline: bool = True
    """Validate the untrained base model too, as the figure of round 0."""


class StopConfig(Frozen):
    """When the loop ends before its last round. It decides no row, so it may be changed between sessions."""

    recall: float | None = Field(default=None, gt=0, le=1)
    """Validation recall that is good enough."""
    accept_rate: float = Field(default=0.0, ge=0, lt=1)
    """A round whose share of accepted attempts is below this is the last."""
    diversity: float = Field(default=0.0, ge=0, lt=1)
    """A round whose thoughts have fewer distinct word pairs (of a thousand, as a share) is the last."""
    patience: int = Field(default=2, ge=1)
    """Rounds in a row without gain on the validation set, after which it ends."""
    min_gain: float = Field(default=0.0, ge=0, lt=1)
    """Less than this more recall than the best so far is no gain."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens of language models over all rounds, after which no round is begun."""
    money: float | None = Field(default=None, gt=0)
    """Money over all rounds, likewise."""
    hours: float | None = Field(default=None, gt=0)
    """Hours of work over all rounds, likewise."""


class DistillConfig(Frozen):
    """Rounds of self-distillation: `rampforge distill`."""

    rounds: int = Field(default=2, ge=0, le=99)
    """Rounds after the cold start."""
    base: str = "smollm2-135m-instruct"
    """The model that teachers are trained from: an asset, a folder or a hub name."""
    start_from: StartFrom = StartFrom.BASE
    """Whether a round trains the base model on all that was accepted, or goes on with its last teacher."""
    tasks: tuple[int, ...] = (256,)
    """New tasks in round 0, 1, 2 and so on; the last number holds for all rounds after it."""
    curriculum: tuple[tuple[int, ...], ...] = ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4))
    """Numbers of masks in round 0, 1, 2 and so on; the last entry holds for all rounds after it."""
    attempts: int = Field(default=4, ge=1, le=64)
    """Attempts of a teacher at each task, for each hide mode."""
    sft: TuningConfig = TuningConfig()
    """How teachers are fine-tuned."""
    validation: ValidationConfig = ValidationConfig()
    """How teachers are compared."""
    regression: float = Field(default=0.05, ge=0, le=1)
    """So much less validation recall than the best teacher's is a regression."""
    on_regression: OnRegression = OnRegression.FALL_BACK
    """What happens then."""
    stop: StopConfig = StopConfig()
    """When it ends early."""
    student: StudentConfig = StudentConfig()
    """What is trained at the end."""

    @model_validator(mode="after")
    def _counts_masks(self) -> Self:
        if not self.tasks or min(self.tasks) < 1:
            raise ValueError("tasks takes at least one number, each 1 or more")
        entries = (*self.curriculum, self.validation.mask_counts)
        if not self.curriculum or not all(entry and set(entry) <= {1, 2, 3, 4} for entry in entries):
            raise ValueError("curriculum and validation.mask_counts take numbers from 1 to 4")
        return self

    def tasks_of(self, number: int) -> int:
        """New tasks of a round."""
        return self.tasks[min(number, len(self.tasks) - 1)]

    def masks_of(self, number: int) -> tuple[int, ...]:
        """Numbers of masks of a round."""
        return self.curriculum[min(number, len(self.curriculum) - 1)]
