"""What the calls of a run to language models consumed, by role, and what that makes for each accepted trajectory."""

from __future__ import annotations

from schemas.record import Frozen


class RoleSpending(Frozen):
    """What one role consumed, with one model."""

    role: str
    """Who asked: planner, rewriter, observer, extractor or judge."""
    model: str
    """Name of the model that played it."""
    calls: int
    """Calls that were answered. A reply taken again from a journal is no call."""
    prompt_tokens: int
    """Tokens sent."""
    completion_tokens: int
    """Tokens received."""
    cost: float
    """Price when the calls were made, in the currency of the price table; 0 for a model without a price."""
    seconds: float
    """Sum over the calls of the time from request to reply, waiting and further tries included."""


class RoleShare(Frozen):
    """What one role, with all its models, consumed for each accepted trajectory."""

    role: str
    """The role, or `all`."""
    calls: float
    """Calls."""
    prompt_tokens: float
    """Tokens sent."""
    completion_tokens: float
    """Tokens received."""
    cost: float
    """Price."""
    seconds: float
    """Seconds that its calls took, one after the other."""


class RunSpending(Frozen):
    """What a run has consumed so far, over all sessions."""

    roles: tuple[RoleSpending, ...]
    """One for each role and model."""
    busy_seconds: float
    """Time in which at least one call was under way."""
    unpriced: tuple[str, ...]
    """Models that no price is known for: the cost leaves them out."""
    accepted: int | None
    """Accepted trajectories; None before any was judged."""
    per_accepted: tuple[RoleShare, ...]
    """For each accepted trajectory, rejected ones paid for: one for each role, and their sum; empty without any."""
