"""Sources of tasks, hidden from the clients that work on them.

Guarantees: where sources are hidden, a client that names no task, an unknown one, or two, is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qs

from starlette.types import Scope

from pipeline.search_server.requests import Exclusion

TASK_HEADER = "x-rampforge-task"


class NoTaskError(Exception):
    """A client that does not name one known task; the reason."""


def list_tasks(scope: Scope) -> Iterator[str]:
    """The tasks that an HTTP request names, by header or in its URL."""
    yield from (value.decode("latin-1") for name, value in scope["headers"] if name == TASK_HEADER.encode())
    yield from parse_qs(scope.get("query_string", b"").decode("latin-1")).get("task", ())


class TaskSources:
    """What is hidden from each task."""

    def __init__(self, sources: Mapping[str, Exclusion] | None) -> None:
        """`sources`: by task id; None: nothing is hidden from anybody."""
        self._sources = sources

    def find(self, names: Iterable[str | None]) -> Exclusion | None:
        """What is hidden from the task that a client names, in one way or several. Raises NoTaskError."""
        if self._sources is None:
            return None
        tasks = {name for name in names if name}
        if len(tasks) != 1:
            raise NoTaskError(
                f"a request names one task, by the header {TASK_HEADER} or by ?task= in the URL (over stdio by --task)"
            )
        source = self._sources.get(tasks.pop())
        if source is None:
            raise NoTaskError("the run has no such task")
        return source
