"""What a search server is started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.search.engine import SearchEngine

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Handed to every worker process."""

    open_engine: Callable[[], SearchEngine]
    """Opens the engine in a worker; must be importable from there."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 8000
    """Port; 0 takes a free one."""
    workers: int = 1
    """Processes that answer, each on a core of its own."""
    queue: int = 4096
    """Queries that may wait in one worker; what comes on top is turned away with 503."""
    gather: int = 1
    """Queries searched together: more than one where the engine gains by it."""
    k: int = 3
    """Documents for a query that does not say how many."""
    token: str | None = field(default=None, repr=False)
    """What clients must show, if anything."""
    max_body: int = 32 << 20
    """Bytes of the largest request."""
    hang_seconds: float = 30.0
    """How long a worker may do nothing but search before it is replaced: longer than the longest single search."""
