"""Training: requests to a trainer, and its results.

A request and a result are one JSON file each, and a subprocess turns one into the other, so that a round of
self-distillation, a scheduler and a person use the same interface.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from schemas.policies import StreamBounds
from schemas.record import Frozen
from schemas.rewards import JudgeEndpoint, Reward, RewardName
from schemas.secrets import VariableName, refuse_secrets


class Tuning(StrEnum):
    """Weights that training changes."""

    FULL = "full"
    LORA = "lora"


class Backend(StrEnum):
    """Framework for reinforcement learning."""

    TRL = "trl"
    """TRL's GRPOTrainer: one node."""
    VERL = "verl"
    """verl over Ray: many nodes. rampforge writes its files; the cluster runs them."""


class Advantage(StrEnum):
    """Advantage estimator of verl."""

    GRPO = "grpo"
    """Groups of completions of one prompt; with the other settings of rampforge this is DAPO (arXiv 2503.14476)."""
    PPO = "gae"
    """A critic (arXiv 1707.06347)."""
    REINFORCE = "reinforce_plus_plus"
    """REINFORCE++ (arXiv 2501.03262)."""


class Layout(Frozen):
    """Machines used for training. Does not affect rows, except that the number of processes multiplies the batch."""

    nodes: int = Field(default=1, ge=1)
    """Number of machines."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs of each machine; null: all available, 0: none."""
    rank: int = Field(default=0, ge=0)
    """Rank of this machine, counted from 0."""
    address: str = "127.0.0.1"
    """Address of the machine of rank 0."""
    port: int = Field(default=29500, ge=1, le=65535)
    """Rendezvous port on that machine."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.rank >= self.nodes:
            raise ValueError(f"machine {self.rank} of {self.nodes}: ranks are counted from 0")
        return self


class Weights(Frozen):
    """Optimisation of the weights, whatever the objective."""

    tuning: Tuning = Tuning.FULL
    """Train all weights, or a low-rank adapter that is merged in at the end."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapter; its alpha is twice that."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps for warm-up."""
    schedule: str = Field(default="cosine", pattern=r"^(constant|linear|cosine|constant_with_warmup)$")
    """Learning-rate schedule."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Maximum norm of the gradients."""
    bf16: bool | None = None
    """Train in bfloat16; null: on GPUs that support it."""
    checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, more time."""


class TrainingRequest(Frozen):
    """Fields common to all training requests."""

    base: str = Field(min_length=1)
    """Base model: a folder, or a hub name."""
    data: str = Field(min_length=1)
    """Folder of the rows, as prepared for the trainer."""
    output: str = Field(min_length=1)
    """Folder for checkpoints, the loss curve, the log and the final model."""
    weights: Weights = Weights()
    """Optimisation of the weights."""
    layout: Layout = Layout()
    """Machines used for training."""
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; null: as many as the epochs give."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows, unless `steps` is set."""
    batch: int = Field(default=8, ge=1)
    """Rows per process in one batch."""
    accumulate: int = Field(default=1, ge=1)
    """Gradient accumulation: batches per optimiser step."""
    save_every: int = Field(default=50, ge=1)
    """Optimiser steps between checkpoints."""
    keep: int = Field(default=2, ge=2)
    """Checkpoints kept; at least two, since the newest may be incomplete after a power failure."""
    curriculum: bool = False
    """Keep the order of the rows (that of an export with order `curriculum`) instead of shuffling."""
    seed: int = 0
    """Random seed."""

    # An error message must not repeat what may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="after")
    def _hold_no_secret(self) -> Self:
        refuse_secrets(self)
        return self


class SftRequest(TrainingRequest):
    """Supervised fine-tuning on rows of `input_ids` and `labels`."""

    max_length: int = Field(default=4096, ge=16)
    """Maximum tokens of a row; longer ones are rejected, never truncated."""
    packing: bool = False
    """Pack several rows into one sequence; needs flash attention, which keeps rows from attending to each other."""


class SearchEndpoint(Frozen):
    """Search engine of the rollouts: any server of POST /retrieve, such as `rampforge search serve`."""

    url: str = Field(pattern=r"^https?://\S+$")
    """URL of the server, such as http://127.0.0.1:8000."""
    k: int = Field(default=3, ge=1, le=100)
    """Passages shown in one step, after the hit lists are merged."""
    key: VariableName | None = None
    """NAME of the environment variable that holds its token."""
    hide: bool = True
    """Ask a rampforge server to withhold the source passage of the task."""
    deadline: float = Field(default=30.0, gt=0)
    """Timeout of a request in seconds."""
    tries: int = Field(default=4, ge=1)
    """Maximum tries at one request. When all fail, training stops: an error is never shown to the model as a result."""
    simulated_steps: int | None = Field(default=None, ge=1)
    """For a simulated engine: number of steps of ZeroSearch's noise curriculum; each request then carries the current
    step."""


class Rollouts(StreamBounds):
    """Sampling and reward of completions."""

    search: SearchEndpoint
    """Search engine."""
    group: int = Field(default=8, ge=2)
    """Completions of one prompt (the group of GRPO)."""
    temperature: float = Field(default=1.0, gt=0)
    """Sampling temperature."""
    reward: Reward = RewardName.F1
    """Reward function, or MODULE:FUNCTION of your own."""
    reward_source: str | None = None
    """Name and digest of the source of a function of your own; set when the training starts."""
    format_credit: float = Field(default=0.1, ge=0, le=1)
    """For recall, F1, EM and judge: reward for correct format alone."""
    judge: JudgeEndpoint | None = None
    """Judge, for the reward of that name."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.reward is RewardName.JUDGE) != (self.judge is not None):
            raise ValueError("the reward `judge`, and no other, needs a judge")
        return self


class RlRequest(TrainingRequest):
    """Reinforcement learning with search: DAPO (arXiv 2503.14476), unless another estimator is set for verl."""

    rollouts: Rollouts
    """Sampling and reward of completions."""
    clip_low: float = Field(default=0.2, gt=0)
    """Lower clipping range of the token ratio below 1."""
    clip_high: float = Field(default=0.28, gt=0)
    """Upper clipping range of the token ratio above 1 (clip-higher)."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the KL divergence from the base model; DAPO uses none."""
    overlong_buffer: int | None = Field(default=None, ge=1)
    """Length of the soft punishment: the last own tokens before `max_own` are punished, evenly, down to -1; null: a
    quarter of them."""
    max_own: int | None = Field(default=None, ge=16)
    """Maximum own tokens of a completion, results not counted; null: as `max_completion`."""
    resample: int = Field(default=2, ge=0)
    """Dynamic sampling: maximum rounds, per step, of replacing prompts whose completions all earn the same reward."""
    backend: Backend = Backend.TRL
    """Framework."""
    advantage: Advantage = Advantage.GRPO
    """Advantage estimator, for verl; TRL supports only the first."""
    max_prompt: int = Field(default=2048, ge=16)
    """Maximum tokens of a prompt; longer ones are rejected."""

    @property
    def own_tokens(self) -> tuple[int, int]:
        """Return the maximum number of own tokens, and how many of the last are punished."""
        most = self.max_own or self.rollouts.max_completion
        return most, min(self.overlong_buffer or max(1, most // 4), most)

    @model_validator(mode="after")
    def _holds_whole_groups(self) -> Self:
        rows = self.batch * self.accumulate
        if self.backend is Backend.TRL and rows % self.rollouts.group:
            raise ValueError(f"batch x accumulate ({rows}) must be a multiple of the group ({self.rollouts.group})")
        if self.backend is Backend.TRL and self.layout.nodes > 1:
            raise ValueError("TRL trains on one node; use the backend verl for more")
        return self


class StepMetrics(Frozen):
    """Metrics of one logged step."""

    step: int
    """Optimiser steps completed."""
    values: dict[str, float]
    """Metrics by name: loss, learning_rate, seconds; for RL also reward and its parts."""


class TrainingResult(Frozen):
    """Result of a training."""

    steps: int
    """Optimiser steps completed, over all attempts."""
    rows: int
    """Rows trained on."""
    rejected: dict[str, int]
    """Rows left out, by reason code."""
    curve: tuple[StepMetrics, ...]
    """Every logged step, in order, without duplicates."""
    tokens_per_second: float
    """Throughput in tokens, of this attempt."""
    seconds: float
    """Training time, of this attempt."""
    resumed_from: int | None
    """Step of the checkpoint that this attempt resumed from."""
    checkpoint: str
    """Folder of the final model: weights, tokenizer and chat template, as vLLM serves them."""
    device: str
    """Device used."""
    processes: int
    """Number of training processes."""
    versions: dict[str, str]
    """Versions of the trainer's packages."""
