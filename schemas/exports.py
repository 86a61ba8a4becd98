"""Exports: the selection from a judged run, and the example that every trainer's file is made from."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.difficulties import Difficulty
from schemas.record import Frozen
from schemas.renderings import RenderedQuestion, RenderingName, Transcript
from schemas.streams import TokenStream
from schemas.tasks import SpanKind
from schemas.trajectories import HideMode


class Trainer(StrEnum):
    """Supported trainers."""

    TRL = "trl"
    LLAMA_FACTORY = "llamafactory"
    VERL_SFT = "verl-sft"
    VERL_RL = "verl-rl"
    SEARCH_R1 = "search-r1"
    RESEARCH = "research"
    SKYRL = "skyrl"
    SLIME = "slime"
    OPENRLHF = "openrlhf"
    MS_SWIFT = "ms-swift"
    AXOLOTL = "axolotl"
    DPO = "dpo"
    MESSAGES = "messages"
    ATIF = "atif"
    SESSION_TRACES = "session-traces"


class Purpose(StrEnum):
    """Purpose of a training file."""

    SFT = "sft"
    """Demonstrations: a row is an accepted trajectory."""
    RL = "rl"
    """Prompts with their gold: a row is a task."""
    PREFERENCE = "preference"
    """Pairs: a row is an accepted trajectory, beside one that answered the same task wrongly."""


class RowOrder(StrEnum):
    """Order of the rows."""

    MIXED = "mixed"
    """Shuffled, by a hash of seed and id."""
    CURRICULUM = "curriculum"
    """Fewer masks first, and among equals easier tasks first."""


class TaskSelection(StrEnum):
    """Tasks that become prompts; demonstrations always come from accepted trajectories."""

    ACCEPTED = "accepted"
    """Tasks solved by at least one trajectory."""
    ALL = "all"
    """Every task that was attempted."""


class ExportSettings(Frozen):
    """Settings that determine the rows of an export."""

    trainer: Trainer
    """Trainer that reads the files."""
    rendering: RenderingName
    """Format of the conversations."""
    tokenizer: str | None = None
    """Name of the model whose tokenizer makes tokens; None where the trainer tokenises."""
    tasks: TaskSelection = TaskSelection.ACCEPTED
    """Tasks that become prompts: solved ones, or all. Demonstrations are always accepted trajectories."""
    where: str | None = None
    """Condition in SQL over the attempts, as of `inspect`, such as "hide = 'passage' AND turns > 1"."""
    reviewed: bool = False
    """Leave out what people marked bad in the inspector."""
    shortcuts: bool = False
    """Keep attempts that were shown the source passage or a near-copy of it."""
    order: RowOrder = RowOrder.MIXED
    """Order of the rows: shuffled, or from few masks to many and from easy to hard."""
    split: float = Field(default=0.02, ge=0, le=0.5)
    """Share of the pages held out for validation."""
    max_per_page: int | None = Field(default=None, ge=1)
    """Maximum rows made from one page."""
    max_per_kind: int | None = Field(default=None, ge=1)
    """Maximum rows with a mask of one kind; a row counts for each kind it masks."""
    max_closed_book: float | None = Field(default=None, ge=0, le=1)
    """Maximum share of correct closed-book attempts; tasks above it are left out."""
    learnable: bool = False
    """Make prompts only of tasks that are solved sometimes, neither always nor never."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Maximum tokens of a conversation; longer ones are left out, never truncated. Needs a tokenizer."""
    train_observations: bool = False
    """Also train on search results (an auxiliary loss); needs a tokenizer."""
    single_queries: bool = True
    """In formats of tags, one query in each search, with all that it found, as other trainers read them; else a step's
    queries stand on lines of one search, as our own rollouts read them."""
    seed: int = 0
    """Seed of the shuffle."""


class TrainingExample(Frozen):
    """Judged trajectory with its task, as far as any trainer's file needs them."""

    trajectory_id: str
    """Id of the trajectory."""
    task_id: str
    """Id of the task."""
    document_id: str
    """Page that the task is made from."""
    page_id: int
    """The page's number in its wiki."""
    passage_id: str
    """Passage that the task is made from."""
    title: str
    """The page's title."""
    policy: str
    """Solver that made the attempt."""
    accepted: bool
    """Whether the judge accepted it."""
    hide: HideMode
    """What the search engine withheld of the task's source."""
    shortcut: bool
    """Whether the source passage or a near-copy of it was shown."""
    shown: tuple[tuple[str, ...], ...]
    """Ids of the passages shown, step by step."""
    mask_kinds: tuple[SpanKind, ...]
    """Kind of each hidden span, in document order."""
    difficulties: tuple[float | None, ...]
    """Estimated difficulty of each hidden span."""
    difficulty: float | None
    """Difficulty of the task."""
    measured: Difficulty | None = None
    """Measured difficulty, where there is one."""
    golds: tuple[tuple[str, ...], ...]
    """Gold forms of each hidden span: its text, then its aliases."""
    question: RenderedQuestion
    """Question as given to the solver."""
    transcript: Transcript | None
    """Thoughts, searches and answers; None where the trajectory cannot be used for training."""
    rejected: Transcript | None = None
    """Content of a wrong attempt at the same task, with the same part of its source withheld; only in pairs."""
    rejected_id: str = ""
    """Id of that attempt."""
    single_queries: bool = False
    """Whether each step of the transcript has one query."""
    stream: TokenStream | None = None
    """Tokens that a trained model wrote."""
    fault: str | None
    """Reason code why the trajectory cannot be used for training."""
    fault_detail: str = ""
    """Details of the fault, for people."""


class Split(StrEnum):
    """Split of the data; a page is never in both."""

    TRAIN = "train"
    VALIDATION = "validation"
