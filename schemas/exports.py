"""Exports: what is chosen of a judged run, and what every trainer's file is made from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.difficulties import Difficulty
from schemas.record import Frozen
from schemas.renderings import RenderedQuestion, RenderingName, Transcript
from schemas.streams import TokenStream
from schemas.tasks import SpanKind


class Trainer(StrEnum):
    """The trainers whose files are written."""

    TRL = "trl"
    LLAMA_FACTORY = "llamafactory"
    VERL_SFT = "verl-sft"
    VERL_RL = "verl-rl"
    SEARCH_R1 = "search-r1"
    OPENRLHF = "openrlhf"
    MS_SWIFT = "ms-swift"
    AXOLOTL = "axolotl"


class Purpose(StrEnum):
    """What a file teaches with."""

    SFT = "sft"
    """Demonstrations: a row is an accepted trajectory."""
    RL = "rl"
    """Prompts with their gold: a row is a task."""


class RowOrder(StrEnum):
    """The order of the rows."""

    MIXED = "mixed"
    """Shuffled, by a hash of seed and id."""
    CURRICULUM = "curriculum"
    """Few masks before many, and of these easy before hard."""


class TaskSelection(StrEnum):
    """Which tasks become prompts; demonstrations are always of accepted trajectories."""

    ACCEPTED = "accepted"
    """Those that some trajectory solved."""
    ALL = "all"
    """Every task that was attempted."""


class ExportSettings(Frozen):
    """What decides the rows of an export."""

    trainer: Trainer
    """Who is to read it."""
    rendering: RenderingName
    """The format of the conversations."""
    tokenizer: str | None = None
    """Name of the model whose tokenizer makes tokens; None where the trainer tokenises."""
    where: TaskSelection = TaskSelection.ACCEPTED
    """Which tasks become prompts."""
    order: RowOrder = RowOrder.MIXED
    """The order of the rows."""
    split: float = Field(default=0.02, ge=0, le=0.5)
    """Share of the pages set apart for validation."""
    max_per_page: int | None = Field(default=None, ge=1)
    """Rows made from one page at most."""
    max_per_kind: int | None = Field(default=None, ge=1)
    """Rows with a mask of one kind at most; a row counts for each kind that it masks."""
    memorised: float | None = Field(default=None, ge=0, le=1)
    """Leave out tasks of whose closed-book attempts a larger share was right; None keeps them."""
    learnable: bool = False
    """Prompts only from tasks that were solved sometimes: not always, not never."""
    max_tokens: int | None = Field(default=None, ge=1)
    """A longer conversation is left out, never cut; needs a tokenizer."""
    train_observations: bool = False
    """Train on search results too, on purpose (an auxiliary loss); needs a tokenizer."""
    seed: int = 0
    """Decides the shuffle."""


class TrainingExample(Frozen):
    """A judged trajectory with its task, as far as any trainer's file needs them."""

    trajectory_id: str
    """The trajectory."""
    task_id: str
    """The task it attempted."""
    document_id: str
    """The page the task is made from."""
    page_id: int
    """The page's number in its wiki."""
    passage_id: str
    """The passage the task is made from."""
    title: str
    """The page's title."""
    policy: str
    """Who attempted it."""
    accepted: bool
    """The judge kept it."""
    mask_kinds: tuple[SpanKind, ...]
    """Kind of each hidden span, in document order."""
    perplexities: tuple[float | None, ...]
    """Perplexity of each hidden span."""
    difficulty: float | None
    """The task's."""
    measured: Difficulty | None = None
    """How often it was solved, where that was measured."""
    golds: tuple[tuple[str, ...], ...]
    """For each hidden span its text and then its aliases."""
    question: RenderedQuestion
    """What a solver is given."""
    transcript: Transcript | None
    """What was thought, searched and answered; None where it cannot teach."""
    stream: TokenStream | None = None
    """What a trained model wrote, as tokens."""
    fault: str | None
    """Why it cannot teach: a reason code."""
    fault_detail: str = ""
    """The same for a person."""


class Split(StrEnum):
    """Which part of the data an example belongs to; a page is never in both."""

    TRAIN = "train"
    VALIDATION = "validation"
