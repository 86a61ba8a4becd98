"""Settings of a search server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.search.engine import SearchEngine

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of every worker process."""

    open_engine: Callable[[], SearchEngine]
    """Opens the engine in a worker; picklable."""
    host: str = "127.0.0.1"
    port: int = 8000
    """0 for any free one."""
    workers: int = 1
    """Processes."""
    queue: int = 4096
    """Queued queries per worker; further ones are refused with 503."""
    gather: int = 1
    """Queries searched together, for engines that gain by it."""
    k: int = 3
    """Default number of documents per query."""
    token: str | None = field(default=None, repr=False)
    """Token that clients must send, if any."""
    max_body: int = 32 << 20
    """Bytes of the largest request."""
    hang_seconds: float = 30.0
    """Silence of a worker's event loop after which it is replaced: longer than the longest single search."""
