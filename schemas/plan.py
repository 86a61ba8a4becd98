"""Cost plan of a run: measured means as input, an estimate of calls, tokens, money and hours as output."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen
from schemas.trajectories import HideMode


class Range(Frozen):
    """Quantity with its uncertainty: the mean and a likely interval."""

    low: float
    """Lower bound: two standard errors below the mean where it was measured, else assumed."""
    mean: float
    """Best estimate."""
    high: float
    """Upper bound."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.low <= self.mean <= self.high:
            raise ValueError(f"a range needs low <= mean <= high, not {self.low}, {self.mean}, {self.high}")
        return self

    def __add__(self, other: Range) -> Range:
        return Range(low=self.low + other.low, mean=self.mean + other.mean, high=self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        """Multiply the bounds: a product is no more certain than its factors."""
        by = other if isinstance(other, Range) else Range(low=other, mean=other, high=other)
        return Range(low=self.low * by.low, mean=self.mean * by.mean, high=self.high * by.high)


class RoleMeans(Frozen):
    """Mean consumption of one role."""

    role: str
    """planner, rewriter, observer, extractor or judge."""
    unit: str
    """Unit its calls are counted by: `turn`, `attempt` (for each vote), or `passage`."""
    calls: Range
    """Calls per unit."""
    prompt_tokens: Range
    """Tokens sent per call."""
    completion_tokens: Range
    """Tokens received per call."""
    seconds: Range | None = None
    """Duration of one call, including queueing and retries; None where it was not measured."""


class TurnCounts(Frozen):
    """Distribution of the turns that attempts of one kind took."""

    masks: int | None = None
    """Masks of their tasks; None for any number."""
    hide: HideMode | None = None
    """Hide mode; None for any mode."""
    attempts: tuple[int, ...]
    """Number of attempts that took 0 turns, 1 turn, 2 turns, ..."""
    stopped: int = Field(default=0, ge=0)
    """Number of attempts that ended only because the limit of turns was reached."""


class Speed(Frozen):
    """Throughput of a run's calls."""

    busy_seconds: float
    """Time in which at least one call was in progress."""
    tokens_per_second: float
    """Tokens sent and received per second of that time, over all servers."""
    in_flight: float
    """Mean number of concurrent calls over that time."""


class Yield(Frozen):
    """Yield of tasks from a source."""

    source_bytes: int
    """Size of the source files as stored (compressed)."""
    passages: int
    """Passages made from them."""
    tasks_per_passage: float
    """Tasks from each passage that was examined."""


class Means(Frozen):
    """Input of a cost plan."""

    source: str
    """Origin of the numbers, in one sentence."""
    measured: bool
    """Whether they were measured on a run of language models; otherwise some are assumed."""
    max_turns: int
    """Maximum turns that attempts were allowed."""
    hide_modes: int
    """Hide modes of each task: identical requests of theirs are one call."""
    votes: int = 1
    """Verdicts requested from the judge for each answer."""
    roles: tuple[RoleMeans, ...]
    """Consumption of each role that made calls."""
    turns: tuple[TurnCounts, ...]
    """Length of attempts."""
    speed: Speed | None = None
    """Throughput of the calls."""
    harvest: Yield | None = None
    """Yield of tasks from the source."""


class RolePlan(Frozen):
    """Planned consumption of one role."""

    role: str
    """The role, or `all`."""
    model: str
    """Model of the role; empty for all."""
    calls: Range
    """Calls."""
    prompt_tokens: Range
    """Tokens sent."""
    completion_tokens: Range
    """Tokens received."""
    money: Range | None
    """Cost; None where no price is known."""
    gpu_hours: Range | None
    """GPU-hours; None where no throughput is known."""
    call_hours: Range | None
    """Total duration of all calls; None where the duration of a call was not measured."""

    @property
    def tokens(self) -> Range:
        """Return the tokens sent and received."""
        return self.prompt_tokens + self.completion_tokens


class CapCheck(Frozen):
    """Comparison of a cap of `llm.budget` with the plan."""

    cap: str
    """Key of the cap: tokens, money or hours."""
    limit: float
    """Value of the cap."""
    planned: Range | None
    """Planned amount; None where it is unknown."""
    verdict: str
    """`kept`, `may stop the run`, `stops the run` or `unknown`."""
    reaches: float | None
    """Share of the tasks reached under the cap at the mean, at most 1."""


class Workload(Frozen):
    """Amount of work that a configuration requests."""

    tasks: int
    """Tasks to be attempted."""
    known_from: str
    """Origin of that number."""
    attempts: int
    """Attempts: tasks times hide modes times attempts per task."""
    turns: Range
    """Turns per attempt."""
    passages: int
    """Passages sent to the extractor; 0 without one."""


class CostPlan(Frozen):
    """Estimated cost of a run."""

    means: str
    """Origin of the means."""
    measured: bool
    """Whether the means were measured on language models."""
    workload: Workload
    """Amount of work."""
    roles: tuple[RolePlan, ...]
    """Consumption by role, with the total as `all`."""
    tokens_per_second: float | None
    """Assumed throughput of all servers together: given by the user, else measured."""
    gpus: int
    """GPUs that this throughput refers to."""
    hours_at_pace: Range | None
    """Hours of calls at that throughput."""
    hours_at_full_flight: Range | None
    """Hours of calls at the maximum concurrency of the configuration, if latency stays the same (Little's law)."""
    in_flight: int
    """Maximum concurrency of the configuration."""
    caps: tuple[CapCheck, ...]
    """The caps of `llm.budget`."""
    notes: tuple[str, ...]
    """Unknown quantities, and how to determine them."""


class PlanComparison(Frozen):
    """Comparison of a planned quantity with the actual one."""

    role: str
    """The role, or `all`."""
    quantity: str
    """calls, prompt tokens, completion tokens, money, or hours."""
    planned: Range | None
    """Planned amount; None where it could not be planned."""
    actual: float
    """Actual amount."""
