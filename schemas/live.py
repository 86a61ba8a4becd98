"""Live status of a run in progress: small files under `live/`, rewritten about once a second.

    live/<stage>/<shard>.json   a shard in progress, by the process that works on it
    live/<stage>.json           the whole stage, by the coordinator; shown in the terminal

They affect no row, and are removed when the stage ends. A file that `kill -9` left behind is recognised by
its age. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.record import Frozen

STALE_SECONDS = 15.0
"""Age from which a record is considered to have no living writer."""


class RunState(StrEnum):
    """State of a run, derived from its lock, its live files and its ledger."""

    STARTING = "starting"
    """A process holds the run; no stage is finished yet."""
    RUNNING = "running"
    """A stage is in progress."""
    BETWEEN = "between stages"
    """A process holds the run; its last stage is finished."""
    STOPPED = "stopped"
    """No process holds the run, and a started stage is not finished."""
    DONE = "done"
    """No process holds the run, and every started stage is finished."""
    STORED = "in a store"
    """The run is on an object store; its progress is visible where it runs."""
    EMPTY = "no stage was started"
    """No process holds the run, and no stage was started: refused, or stopped before its first stage."""


class EndpointLive(Frozen):
    """Endpoint as seen by one process. Counts cover the shard's work so far."""

    name: str
    """Name in the configuration."""
    in_flight: int
    """Requests sent and not yet answered."""
    limit: int
    """Current limit of concurrent requests."""
    waiting: int
    """Requests queued for it; a request that several endpoints may take counts for each of them."""
    answered: int
    """Replies received."""
    faults: int
    """Failed attempts at a request: errors, hangs, 429s, truncated bodies. Most are retried."""
    usual_seconds: float
    """Typical time of a reply: the mean of the slowest role; 0 before the first."""
    last_fault: str
    """Latest fault; empty for none."""


class ShardLive(Frozen):
    """Shard in progress."""

    stage: str
    """Name of the stage."""
    shard: str
    """Name of the shard."""
    pid: int
    """Process that works on it."""
    at: float
    """Time of writing."""
    resumed: int
    """Inputs completed in earlier sessions."""
    done: int
    """Inputs completed since."""
    accepted: int | None
    """Of those, inputs that passed; None while unknown."""
    endpoints: tuple[EndpointLive, ...] = ()
    """Language models that the stage calls, if any."""


class CallsLive(Frozen):
    """Calls of a stage to language models, over all its processes."""

    in_flight: int
    """Requests sent and not yet answered."""
    waiting: int
    """Requests queued for an endpoint."""
    answered: int
    """Replies for this stage in this session."""
    rate: float
    """Replies per second, recently."""
    fault_share: float
    """Share of failed attempts at requests, over the stage so far, 0 to 1."""
    prompt_tokens: int
    """Tokens sent for this stage in this session."""
    completion_tokens: int
    """Tokens received for this stage in this session."""
    prompt_rate: float
    """Tokens sent per second, recently."""
    completion_rate: float
    """Tokens received per second, recently."""
    stage_cost: float
    """Cost of this stage in this session, by the price table."""
    cost: float
    """Cost of the run so far, over all sessions."""
    cost_cap: float | None
    """Cap on the cost."""
    tokens: int
    """Tokens of the run so far, in both directions, over all sessions."""
    token_cap: int | None
    """Cap on the tokens."""
    stalled: tuple[str, ...]
    """Endpoints that have stopped answering."""


class StageLive(Frozen):
    """Stage in progress."""

    run: str
    """Name of the run."""
    stage: str
    """The stage."""
    unit: str
    """Unit of its inputs."""
    pid: int
    """Process that coordinates the run."""
    at: float
    """Time of writing."""
    seconds: float
    """Time that the stage has been in progress in this session."""
    total: int | None
    """Number of inputs; None where it is unknown before the end."""
    done: int
    """Inputs completed, over all sessions."""
    done_now: int
    """Of those, inputs completed in this session."""
    rate: float
    """Inputs completed per second, recently."""
    accepted_share: float | None
    """Share of the completed inputs that passed; None while unknown. (For shards in progress, only this session
    counts.)"""
    seconds_left: float | None
    """Estimated time for the rest; None while unknown."""
    shards: int
    """Shards in progress."""
    calls: CallsLive | None = None
    """Calls to language models, if the stage makes any."""

    def is_stale(self, now: float) -> bool:
        """Return whether the writer has died, that is, whether the record is too old. A record from the future, left by
        a clock that was set back, counts as old."""
        return abs(now - self.at) > STALE_SECONDS
