"""Spending of a run on language models, by role and per accepted trajectory."""

from __future__ import annotations

from schemas.record import Frozen


class RoleSpending(Frozen):
    """Consumption of one role with one model."""

    role: str
    """Name of the role: planner, rewriter, observer, extractor or judge."""
    model: str
    """Model that played it."""
    calls: int
    """Answered calls. A reply read from a journal does not count."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Cost at the prices when the calls were made, in the currency of the price table; 0 for a model without a
    price."""
    seconds: float
    """Total time from request to reply, including queueing and retries."""


class RoleShare(Frozen):
    """Consumption of one role, with all its models, per accepted trajectory."""

    role: str
    """The role, or `all`."""
    calls: float
    """Calls."""
    prompt_tokens: float
    """Tokens sent."""
    completion_tokens: float
    """Tokens received."""
    cost: float
    """Cost."""
    seconds: float
    """Total duration of its calls in seconds."""


class RunSpending(Frozen):
    """Consumption of a run so far, over all sessions."""

    roles: tuple[RoleSpending, ...]
    """One for each role and model."""
    busy_seconds: float
    """Time in which at least one call was in progress."""
    unpriced: tuple[str, ...]
    """Models without a known price, which the cost leaves out."""
    accepted: int | None
    """Accepted trajectories; None before judging."""
    per_accepted: tuple[RoleShare, ...]
    """Consumption per accepted trajectory, rejected ones included: one for each role, and the total; empty without
    accepted trajectories."""
