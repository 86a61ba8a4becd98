"""Trajectories: one attempt at one task, with all thoughts, searches, results and answers."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.record import Frozen, Record

SEARCH = "search"
"""Name of the search tool."""


class SearchStatus(StrEnum):
    """Status of a search call. Only `ok` and `empty` may be shown to a model."""

    OK = "ok"
    EMPTY = "empty"
    TIMEOUT = "timeout"
    ERROR = "error"


class HideMode(StrEnum):
    """Part of a task's source that the search engine must not return."""

    NONE = "none"
    PASSAGE = "passage"
    PAGE = "page"


class StopReason(StrEnum):
    """Reason for the end of a trajectory."""

    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    MAX_TURNS = "max_turns"
    SEARCH_FAILED = "search_failed"
    MALFORMED = "malformed"
    """The trained model answered, but broke its format."""
    MAX_TOKENS = "max_tokens"
    """The output of the trained model was truncated."""
    NO_ANSWER = "no_answer"
    """The trained model ended its output without an answer."""


class Usefulness(StrEnum):
    """Label given to a simulated search engine (ZeroSearch, arXiv 2505.04588)."""

    USEFUL = "useful"
    NOISY = "noisy"


class Hit(Frozen):
    """Passage in one hit list."""

    passage_id: str
    """Id of the passage."""
    score: float | None
    """Score of the engine, comparable within one hit list only; None in an imported trajectory."""
    usefulness: Usefulness | None = None
    """Label that the passage was generated for; None for one that was retrieved."""


class SearchCall(Frozen):
    """Query, and the outcome of its search."""

    query: str
    """The query as sent."""
    status: SearchStatus
    """Status of the call."""
    hits: tuple[Hit, ...]
    """Hits, best first."""
    detail: str | None
    """Details of a `timeout` or `error`."""
    tool: str = SEARCH
    """Tool that was called. In an imported trajectory it may be another than `search`; `query` then holds its arguments
    as JSON, and `hits` what it showed."""


class ShownPassage(Frozen):
    """Passage as shown to the agent."""

    passage_id: str
    """Id of the passage."""
    title: str
    """Title shown."""
    text: str
    """Text shown."""


class Turn(Frozen):
    """One step: a thought, its searches, the passages shown, and the conclusion."""

    think: str
    """What the step searches for, and why."""
    calls: tuple[SearchCall, ...]
    """Every search of the step, in order; empty when the agent only thought."""
    shown: tuple[ShownPassage, ...]
    """Merged results as shown: hit lists taken round-robin, without duplicates."""
    conclusion: str
    """Conclusion of the observer from the results; may be empty."""


class MaskAnswer(Frozen):
    """Answer to one mask."""

    mask: int
    """Number of the mask, counted from 0 in document order."""
    answer: str | None
    """Answer; None where the agent gave none."""
    evidence: str | None
    """Passage that the answer was read from; None for an answer from memory (ungrounded)."""


class RoleUsage(Frozen):
    """Consumption of one role of the agents."""

    role: str
    """Name of the role: planner, rewriter, observer, policy or extractive."""
    model: str
    """Model that played it."""
    calls: int
    """Calls made."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Cost by the price table that the run started with; 0 for a model that it does not contain."""


class PromptUse(Frozen):
    """Prompt template used in the trajectory."""

    name: str
    """Template name, such as `extractive_plan.en`."""
    digest: str
    """Hash of the template's text."""


class Trajectory(Record):
    """One attempt at one task."""

    dataset: ClassVar[str] = "trajectories"
    id_field: ClassVar[str] = "trajectory_id"
    references: ClassVar[dict[str, str]] = {"task_id": "tasks"}

    trajectory_id: str
    """Hash of task, attempt, policy, hide mode, engine fingerprint, prompts, models and sampling."""
    task_id: str
    """Task attempted."""
    attempt: int
    """Counted from 0 for each task and hide mode."""
    policy: str
    """Solver: `agents`, `extractive`, or the name of a trained model, such as `teacher-r1`."""
    hide: HideMode
    """What the search engine withheld of the source."""
    turns: tuple[Turn, ...]
    """The steps, in order."""
    answers: tuple[MaskAnswer, ...]
    """One for each mask, in document order."""
    final_think: str
    """Closing thought, before the answers."""
    stop_reason: StopReason
    """Reason for the end."""
    usage: tuple[RoleUsage, ...]
    """Consumption of each role."""
    prompts: tuple[PromptUse, ...]
    """Prompt templates used."""
    sampling: str
    """Sampling settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine: kind, settings and corpus."""
    cold_start: bool = False
    """Whether the thoughts are filled templates: they teach the format, not how to think, so use few of them."""
