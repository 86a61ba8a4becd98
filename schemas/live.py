"""What a run under way tells whoever watches it: small files under `live/`, written again about once a second.

    live/<stage>/<shard>.json   a shard under work, by the process that works on it
    live/<stage>.json           the whole stage, by the process that leads the run; what the terminal shows

Nothing that decides a row is read from them, and they go when the stage ends. One that `kill -9` left behind shows by
its age. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.record import Frozen

STALE_SECONDS = 15.0
"""A record this old has no living writer."""


class RunState(StrEnum):
    """What a run is doing, as its lock, its live files and its ledger show it."""

    STARTING = "starting"
    """A process holds it and has finished no stage yet."""
    RUNNING = "running"
    """A stage is under work."""
    BETWEEN = "between stages"
    """A process holds it, and its last stage is finished."""
    STOPPED = "stopped"
    """No process holds it, and a stage that was started is not finished."""
    DONE = "done"
    """No process holds it, and every stage that was started is finished."""
    STORED = "in a store"
    """It lies in an object store; what it is doing shows where it runs."""
    EMPTY = "no stage was started"
    """No process holds it, and nothing was begun: refused, or stopped before its first stage."""


class EndpointLive(Frozen):
    """An endpoint as one process sees it. Counts are of the shard's work so far."""

    name: str
    """Its name in the configuration."""
    in_flight: int
    """Requests sent and not yet answered."""
    limit: int
    """Requests allowed at once by now."""
    waiting: int
    """Requests in line for it; one that any of several may take counts for each of them."""
    answered: int
    """Replies."""
    faults: int
    """Tries that came to nothing: errors, hangs, 429s, bodies cut off. Most are tried again."""
    usual_seconds: float
    """How long a reply takes: the mean of the slowest role; 0 before the first."""
    last_fault: str
    """What the latest fault was; empty for none."""


class ShardLive(Frozen):
    """A shard under work."""

    stage: str
    """The stage."""
    shard: str
    """The shard."""
    pid: int
    """Process that works on it."""
    at: float
    """When this was written."""
    resumed: int
    """Inputs that were done in earlier sessions."""
    done: int
    """Inputs done since."""
    accepted: int | None
    """Of those, what passed; None before anything tells."""
    endpoints: tuple[EndpointLive, ...] = ()
    """The language models asked, where the stage asks any."""


class CallsLive(Frozen):
    """The calls of a stage to language models, over all its processes."""

    in_flight: int
    """Requests sent and not yet answered."""
    waiting: int
    """Requests in line for an endpoint."""
    answered: int
    """Replies for this stage in this session."""
    rate: float
    """Replies a second, lately."""
    fault_share: float
    """Share of the tries that came to nothing, over the stage so far, 0 to 1."""
    prompt_tokens: int
    """Tokens sent for this stage in this session."""
    completion_tokens: int
    """Tokens received for it."""
    prompt_rate: float
    """Tokens sent a second, lately."""
    completion_rate: float
    """Tokens received a second, lately."""
    stage_cost: float
    """Cost of this stage in this session, by the price table."""
    cost: float
    """Cost of the run so far, over all sessions."""
    cost_cap: float | None
    """The cap on it."""
    tokens: int
    """Tokens of the run so far, both ways, over all sessions."""
    token_cap: int | None
    """The cap on them."""
    stalled: tuple[str, ...]
    """Endpoints from which nothing comes any more."""


class StageLive(Frozen):
    """A stage under work."""

    run: str
    """Name of the run."""
    stage: str
    """The stage."""
    unit: str
    """What its inputs are called."""
    pid: int
    """Process that leads the run."""
    at: float
    """When this was written."""
    seconds: float
    """How long the stage has been under work in this session."""
    total: int | None
    """Inputs there are; None where that is not known before the end."""
    done: int
    """Inputs done, over all sessions."""
    done_now: int
    """Of those, inputs done in this session."""
    rate: float
    """Inputs done a second, lately."""
    accepted_share: float | None
    """Share of the inputs done that passed; None before anything tells. (Of shards under work, only what was done in
    this session counts.)"""
    seconds_left: float | None
    """About how long the rest will take; None where nothing tells."""
    shards: int
    """Shards under work."""
    calls: CallsLive | None = None
    """Its calls to language models, where it makes any."""

    def is_stale(self, now: float) -> bool:
        """Whether its writer has died: nothing new for too long. One from a future that a clock set back has left
        behind counts as old."""
        return abs(now - self.at) > STALE_SECONDS
