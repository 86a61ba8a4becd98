"""Settings of a search server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.search.engine import SearchEngine
from pipeline.search_server.requests import Exclusion

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Settings of every worker process."""

    open_engine: Callable[[], SearchEngine]
    """Opens the engine in a worker; picklable."""
    index: Path | None = None
    """Index whose pages may be opened; None: no pages are served."""
    open_sources: Callable[[], Mapping[str, Exclusion]] | None = None
    """Reads, in a worker, what is hidden from each task, by task id; picklable. With it a request must name its task.
    None: all of the corpus is served to all."""
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
