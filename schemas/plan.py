"""What a run would cost, before anything is spent: measured means in, an estimate out."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.trajectories import HideMode


class Range(Frozen):
    """A number that is not known exactly: its mean, and where it lies in all likelihood."""

    low: float
    """Lower end: two standard errors below the mean where it was measured, else assumed."""
    mean: float
    """The best guess."""
    high: float
    """Upper end."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.low <= self.mean <= self.high:
            raise ValueError(f"a range runs from low over mean to high, not {self.low}, {self.mean}, {self.high}")
        return self

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, mean=self.mean + other.mean, high=self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        """Both ends at their worst: a product is no surer than its factors."""
        by = other if isinstance(other, Range) else Range(low=other, mean=other, high=other)
        return Range(low=self.low * by.low, mean=self.mean * by.mean, high=self.high * by.high)


class RoleMeans(Frozen):
    """What one role was seen to need."""

    role: str
    """planner, rewriter, observer, extractor or judge."""
    unit: str
    """What its calls are counted by: `turn`, `attempt` (for each vote), or `passage`."""
    calls: Range
    """Calls for one unit."""
    prompt_tokens: Range
    """Tokens sent in one call."""
    completion_tokens: Range
    """Tokens received in one call."""
    seconds: Range | None = None
    """Time of one call, waiting and further tries included; None where it was not measured."""


class TurnCounts(Frozen):
    """How many turns attempts of one kind took."""

    masks: int | None = None
    """Masks of their tasks; None for any number."""
    hide: HideMode | None = None
    """What was hidden from them; None for any mode."""
    attempts: tuple[int, ...]
    """How many attempts took 0 turns, 1 turn, 2 turns, ..."""
    stopped: int = Field(default=0, ge=0)
    """How many of them ended only because no turn was left."""


class Speed(Frozen):
    """How fast a run's calls went."""

    busy_seconds: float
    """Time in which at least one call was under way."""
    tokens_per_second: float
    """Tokens sent and received in that time, by all servers together."""
    in_flight: float
    """Calls under way at once, on average over that time."""


class Yield(Frozen):
    """How many tasks a source gives."""

    source_bytes: int
    """Size of the source files, as they are (compressed)."""
    passages: int
    """Passages made of them."""
    tasks_per_passage: float
    """Tasks from each passage that was looked at."""


class Means(Frozen):
    """Everything a plan is made from."""

    source: str
    """Where the numbers come from, in one sentence."""
    measured: bool
    """They were measured on a run of language models; else some of them are assumed."""
    max_turns: int
    """The most turns that attempts were allowed."""
    hide_modes: int
    """Hide modes that each task was attempted under: equal requests of theirs are one call."""
    votes: int = 1
    """Verdicts that were asked of the judge for each answer."""
    roles: tuple[RoleMeans, ...]
    """One for each role that made calls."""
    turns: tuple[TurnCounts, ...]
    """How long attempts were."""
    speed: Speed | None = None
    """How fast the calls went."""
    harvest: Yield | None = None
    """How many tasks the source gave."""


class RolePlan(Frozen):
    """What one role will need."""

    role: str
    """The role, or `all`."""
    model: str
    """Name of the model that plays it; empty for all."""
    calls: Range
    """Calls."""
    prompt_tokens: Range
    """Tokens sent."""
    completion_tokens: Range
    """Tokens received."""
    money: Range | None
    """Price; None where no price is known."""
    gpu_hours: Range | None
    """GPU-hours; None where no throughput is known."""
    call_hours: Range | None
    """Time of all calls, one after the other; None where the time of a call was not measured."""

    @property
    def tokens(self) -> Range:
        """Tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens


class CapCheck(Frozen):
    """A cap of `llm.budget` beside the plan."""

    cap: str
    """Its key: tokens, money or hours."""
    limit: float
    """Its value."""
    planned: Range | None
    """What the plan needs of it; None where that is not known."""
    verdict: str
    """`kept`, `may stop the run`, `stops the run` or `unknown`."""
    reaches: float | None
    """Share of the tasks that it lets through at the mean, at most 1."""


class Workload(Frozen):
    """What a configuration asks for."""

    tasks: int
    """Tasks that will be attempted."""
    known_from: str
    """How that number is known."""
    attempts: int
    """Attempts: tasks times hide modes times attempts for each."""
    turns: Range
    """Turns of one attempt."""
    passages: int
    """Passages that the extractor is asked about; 0 without one."""


class CostPlan(Frozen):
    """What a run will cost."""

    means: str
    """Where the means come from."""
    measured: bool
    """Whether they were measured on language models."""
    workload: Workload
    """What the configuration asks for."""
    roles: tuple[RolePlan, ...]
    """By role, and the sum as `all`."""
    tokens_per_second: float | None
    """Throughput that is reckoned with, of all servers together: the user's word, else as measured."""
    gpus: int
    """GPUs that it belongs to."""
    hours_at_pace: Range | None
    """Hours of calls at that throughput."""
    hours_at_full_flight: Range | None
    """Hours of calls if as many are under way as the configuration allows, and none is slower for it (Little's law)."""
    in_flight: int
    """Calls that the configuration allows under way at once."""
    caps: tuple[CapCheck, ...]
    """The caps of `llm.budget`."""
    notes: tuple[str, ...]
    """What is not known, and how to learn it."""


class PlanComparison(Frozen):
    """One quantity, planned and spent."""

    role: str
    """The role, or `all`."""
    quantity: str
    """calls, prompt tokens, completion tokens, money, or hours."""
    planned: Range | None
    """What the plan said; None where it could not."""
    actual: float
    """What happened."""
