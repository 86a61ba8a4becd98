"""Trajectories: one attempt at one task, with everything that was thought, searched, seen and answered."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from schemas.record import Frozen, Record


class SearchStatus(StrEnum):
    """How a search call ended. Only `ok` and `empty` may be shown to a model."""

    OK = "ok"
    EMPTY = "empty"
    TIMEOUT = "timeout"
    ERROR = "error"


class HideMode(StrEnum):
    """What of a task's source the search engine must not return."""

    NONE = "none"
    PASSAGE = "passage"
    PAGE = "page"


class StopReason(StrEnum):
    """Why a trajectory ended."""

    ANSWERED = "answered"
    GAVE_UP = "gave_up"
    MAX_TURNS = "max_turns"
    SEARCH_FAILED = "search_failed"
    MALFORMED = "malformed"
    """A trained model answered, and broke its format on the way."""
    MAX_TOKENS = "max_tokens"
    """A trained model was cut off."""
    NO_ANSWER = "no_answer"
    """A trained model ended its text without an answer."""


class Usefulness(StrEnum):
    """What a simulated search engine was told to write (ZeroSearch, arXiv 2505.04588)."""

    USEFUL = "useful"
    NOISY = "noisy"


class Hit(Frozen):
    """One passage in one hit list."""

    passage_id: str
    """The passage found."""
    score: float
    """The engine's own score; comparable inside one hit list only."""
    usefulness: Usefulness | None = None
    """What the passage was made to be; None for one that was found and not made up."""


class SearchCall(Frozen):
    """One query and how its search ended."""

    query: str
    """The query as sent."""
    status: SearchStatus
    """How the call ended."""
    hits: tuple[Hit, ...]
    """What came back, best first."""
    detail: str | None
    """What went wrong, for `timeout` and `error`."""


class ShownPassage(Frozen):
    """A passage as it was put before the agent."""

    passage_id: str
    """The passage."""
    title: str
    """The title shown."""
    text: str
    """The text shown."""


class Turn(Frozen):
    """One step: a thought, the searches it led to, what they showed, and what was concluded."""

    think: str
    """What is sought in this step and why."""
    calls: tuple[SearchCall, ...]
    """Every search of the step, in order; empty when the agent only thought."""
    shown: tuple[ShownPassage, ...]
    """The merged results as shown: hit lists taken round-robin, no passage twice."""
    conclusion: str
    """What the observer drew from the results; may be empty."""


class MaskAnswer(Frozen):
    """The answer to one mask."""

    mask: int
    """Which mask, counted from 0 in document order."""
    answer: str | None
    """The answer; None is an honest failure."""
    evidence: str | None
    """The passage the answer was read from; None marks an answer as ungrounded: it came from memory."""


class RoleUsage(Frozen):
    """What one role of the agents consumed."""

    role: str
    """planner, rewriter, observer, policy or extractive."""
    model: str
    """Name of the model that played it."""
    calls: int
    """Calls made."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Price, by the price table that the run started with; 0 for a model that stands in none."""


class PromptUse(Frozen):
    """A prompt template that shaped the trajectory."""

    name: str
    """Template name, such as `extractive_plan.en`."""
    digest: str
    """Hash of the template's text."""


class Trajectory(Record):
    """One attempt at one task."""

    dataset: ClassVar[str] = "trajectories"
    id_field: ClassVar[str] = "trajectory_id"

    trajectory_id: str
    """Hash of task, attempt, policy, hide mode, engine fingerprint, prompts, models and sampling."""
    task_id: str
    """The task attempted."""
    attempt: int
    """Counted from 0 for each task and hide mode."""
    policy: str
    """Who attempted it: `agents`, `extractive`, or the name of a trained model, such as `teacher-r1`."""
    hide: HideMode
    """What of the source the search engine was told to withhold."""
    turns: tuple[Turn, ...]
    """The steps, in order."""
    answers: tuple[MaskAnswer, ...]
    """One for each mask, in document order."""
    final_think: str
    """The closing thought, before the answers."""
    stop_reason: StopReason
    """Why it ended."""
    usage: tuple[RoleUsage, ...]
    """What each role consumed."""
    prompts: tuple[PromptUse, ...]
    """The prompt templates used."""
    sampling: str
    """Sampling settings, a JSON object as text."""
    engine: str
    """Fingerprint of the search engine: kind, settings and corpus."""
