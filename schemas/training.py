"""Training: what is asked of a trainer, and what it says when it is done.

A request is one JSON file and a result another; what lies between them is a subprocess. So a round of
self-distillation, a scheduler and a person ask in the same words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from schemas.policies import StreamBounds
from schemas.record import Frozen
from schemas.rewards import JudgeEndpoint, RewardName
from schemas.secrets import VariableName, refuse_secrets


class Tuning(StrEnum):
    """Which weights move."""

    FULL = "full"
    LORA = "lora"


class Backend(StrEnum):
    """Who runs reinforcement learning."""

    TRL = "trl"
    """TRL's GRPOTrainer: one node."""
    VERL = "verl"
    """verl over Ray: many nodes. Its files are written; the cluster runs them."""


class Advantage(StrEnum):
    """How verl turns rewards into advantages."""

    GRPO = "grpo"
    """Groups of completions of one prompt; with our other settings this is DAPO (arXiv 2503.14476)."""
    PPO = "gae"
    """A critic (arXiv 1707.06347)."""
    REINFORCE = "reinforce_plus_plus"
    """REINFORCE++ (arXiv 2501.03262)."""


class Layout(Frozen):
    """The machines that train. It decides no row; the number of processes times the batch does."""

    nodes: int = Field(default=1, ge=1)
    """Machines."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs of each machine; null: all that are there, 0: none."""
    rank: int = Field(default=0, ge=0)
    """Which machine this is, counted from 0."""
    address: str = "127.0.0.1"
    """The machine of rank 0."""
    port: int = Field(default=29500, ge=1, le=65535)
    """Port of that machine where the others meet."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.rank >= self.nodes:
            raise ValueError(f"machine {self.rank} of {self.nodes}: they are counted from 0")
        return self


class Weights(Frozen):
    """How weights are moved, whatever the objective."""

    tuning: Tuning = Tuning.FULL
    """All weights, or a low-rank adapter that is merged in at the end."""
    lora_rank: int = Field(default=16, ge=1)
    """Rank of the adapter; its alpha is twice that."""
    learning_rate: float = Field(default=1e-5, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the steps over which the rate rises."""
    schedule: str = Field(default="cosine", pattern=r"^(constant|linear|cosine|constant_with_warmup)$")
    """How the rate falls."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    bf16: bool | None = None
    """Train in bfloat16; null: on GPUs that can."""
    checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, more time."""


class TrainingRequest(Frozen):
    """What every training is told."""

    base: str = Field(min_length=1)
    """The model to start from: a folder, or a hub name."""
    data: str = Field(min_length=1)
    """Folder of the rows, as prepared for the trainer."""
    output: str = Field(min_length=1)
    """Folder for checkpoints, the loss curve, the log and the final model."""
    weights: Weights = Weights()
    """How weights are moved."""
    layout: Layout = Layout()
    """The machines."""
    steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; null: as many as the epochs give."""
    epochs: float = Field(default=1.0, gt=0)
    """Passes over the rows, where no steps are given."""
    batch: int = Field(default=8, ge=1)
    """Rows that one process takes at once."""
    accumulate: int = Field(default=1, ge=1)
    """Batches in one step."""
    save_every: int = Field(default=50, ge=1)
    """Steps from one checkpoint to the next."""
    keep: int = Field(default=2, ge=2)
    """Checkpoints kept: two at least, since the newest may be half written when the power goes."""
    curriculum: bool = False
    """Rows are taken in the order they lie in, which an export with order `curriculum` made, instead of shuffled."""
    seed: int = 0
    """Seed of everything drawn."""

    # An error message must not repeat what may be a secret.
    model_config = ConfigDict(hide_input_in_errors=True)

    @model_validator(mode="after")
    def _hold_no_secret(self) -> Self:
        refuse_secrets(self)
        return self


class SftRequest(TrainingRequest):
    """Supervised fine-tuning on rows of `input_ids` and `labels`."""

    max_length: int = Field(default=4096, ge=16)
    """Longest row in tokens; a longer one is a reject, never cut."""
    packing: bool = False
    """Several rows in one sequence; needs flash attention, without which rows would see each other."""


class SearchEndpoint(Frozen):
    """The search engine of the rollouts: any server of POST /retrieve, ours (`rampforge search serve`) or another."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Where it listens, such as http://127.0.0.1:8000."""
    k: int = Field(default=3, ge=1, le=100)
    """Passages shown for a step, after the hit lists are merged."""
    key: VariableName | None = None
    """NAME of the environment variable that holds its token."""
    hide: bool = True
    """Ask a server of ours to withhold the source passage of the task."""
    deadline: float = Field(default=30.0, gt=0)
    """Seconds after which a request is given up."""
    tries: int = Field(default=4, ge=1)
    """Tries at one request. When all fail training stops: a fault is never shown to a model as a result."""
    simulated_steps: int | None = Field(default=None, ge=1)
    """For a simulated engine: the steps of ZeroSearch's noise curriculum; each request then tells the step it is at."""


class Rollouts(StreamBounds):
    """How completions are drawn and what they are worth."""

    search: SearchEndpoint
    """The engine."""
    group: int = Field(default=8, ge=2)
    """Completions of one prompt."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling."""
    reward: RewardName = RewardName.F1
    """What is paid."""
    format_credit: float = Field(default=0.1, ge=0, le=1)
    """For recall, F1, EM and judge: the part of 1 that a kept format is worth by itself."""
    judge: JudgeEndpoint | None = None
    """The judge, for the reward of that name."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.reward is RewardName.JUDGE) != (self.judge is not None):
            raise ValueError("the reward `judge`, and only that, names a judge")
        return self


class RlRequest(TrainingRequest):
    """Reinforcement learning with search: DAPO (arXiv 2503.14476) unless verl is told another estimator."""

    rollouts: Rollouts
    """How completions are drawn and paid."""
    clip_low: float = Field(default=0.2, gt=0)
    """How far a token's ratio may fall below 1."""
    clip_high: float = Field(default=0.28, gt=0)
    """How far it may rise above 1: clip-higher."""
    kl: float = Field(default=0.0, ge=0)
    """Weight of the distance to the starting model; DAPO has none."""
    overlong_buffer: int | None = Field(default=None, ge=1)
    """The last so many own tokens before `max_own` are punished, evenly, down to -1; null: a quarter of them."""
    max_own: int | None = Field(default=None, ge=16)
    """Own tokens of a completion at most, results not counted; null: as `max_completion`."""
    resample: int = Field(default=2, ge=0)
    """Dynamic sampling: how often prompts whose completions all earn the same are replaced by others, in one step."""
    backend: Backend = Backend.TRL
    """Who runs it."""
    advantage: Advantage = Advantage.GRPO
    """For verl: the estimator; TRL knows the first only."""
    max_prompt: int = Field(default=2048, ge=16)
    """Longest prompt in tokens; a longer one is a reject."""

    @property
    def own_tokens(self) -> tuple[int, int]:
        """Own tokens at most, and how many of the last are punished."""
        most = self.max_own or self.rollouts.max_completion
        return most, min(self.overlong_buffer or max(1, most // 4), most)

    @model_validator(mode="after")
    def _holds_whole_groups(self) -> Self:
        rows = self.batch * self.accumulate
        if self.backend is Backend.TRL and rows % self.rollouts.group:
            raise ValueError(f"batch x accumulate ({rows}) must be a multiple of the group ({self.rollouts.group})")
        if self.backend is Backend.TRL and self.layout.nodes > 1:
            raise ValueError("TRL trains on one node; take the backend verl for more")
        return self


class StepMetrics(Frozen):
    """One logged step."""

    step: int
    """Optimiser steps done."""
    values: dict[str, float]
    """What the trainer says of it: loss, learning_rate, seconds; for RL also reward and its parts."""


class TrainingResult(Frozen):
    """What a training came to."""

    steps: int
    """Optimiser steps done, over all attempts."""
    rows: int
    """Rows it trained on."""
    rejected: dict[str, int]
    """Rows left out, by reason code."""
    curve: tuple[StepMetrics, ...]
    """Every logged step, in order, none twice."""
    tokens_per_second: float
    """Tokens through the model in a second of training, this attempt's."""
    seconds: float
    """Time of training, this attempt's."""
    resumed_from: int | None
    """The step whose checkpoint this attempt began with."""
    checkpoint: str
    """Folder of the final model: weights, tokenizer and chat template, as vLLM serves them."""
    device: str
    """What it ran on."""
    processes: int
    """How many processes trained."""
    versions: dict[str, str]
    """Packages of the trainer and their versions."""
