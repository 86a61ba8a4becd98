"""The runs that the pages show: found under a path, opened when they are asked for, opened again when they change.

Promises: only what lies under the path can be asked for; a run's shards are looked at again at most every few
seconds; of several runs the ones not looked at lately are closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.inspecting.attempt_pages import list_choices
from pipeline.inspecting.attempts import open_attempts
from pipeline.inspecting.errors import InspectError
from pipeline.inspecting.shard_listing import stamp_files
from pipeline.inspecting.summary import Summary, summarise
from pipeline.storage.run_folder import RunFolder
from schemas.ledger import RunRecord

LOOK_SECONDS = 3.0
LOOK_SHARE = 10.0
"""A run that changes all the time is opened again after so many times what opening it took, at the soonest."""
MOST_OPEN = 3


class OpenedRun:
    """One run, dataset or shard, as it lay on disk at one time."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.database, self.has_attempts = open_attempts(path)
        self.choices: dict[str, list[Any]] = list_choices(self.database) if self.has_attempts else {}
        self.summary: Summary = summarise(self.database)


@dataclass(frozen=True, slots=True)
class _Known:
    """An open run, and the time before which it is not looked at again."""

    run: OpenedRun
    rest_until: float


class RunShelf:
    """All runs under a path."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        """`clock` counts seconds. Raises InspectError where nothing can be shown."""
        self.root = path.resolve()
        self._clock = clock
        self._lock = Lock()
        self._open: dict[str, _Known] = {}
        if not self.find():
            raise InspectError(f"{path}: no run, dataset or shard lies here", "name a run, such as outputs/demo")

    def find(self) -> dict[str, Path]:
        """Paths of the runs by name."""
        if self.root.is_file() or _is_run(self.root) or any(self.root.glob("*.parquet")):
            return {self.root.stem if self.root.is_file() else self.root.name or "root": self.root}
        if not self.root.is_dir():
            return {}
        runs = [child for child in sorted(self.root.iterdir()) if child.is_dir() and not child.is_symlink()]
        return {child.name: child for child in runs if _is_run(child)} or (
            {self.root.name: self.root} if any(self.root.glob("*/*.parquet")) else {}
        )

    def read_card(self, path: Path) -> RunRecord | None:
        """What run.json says, without opening a shard; None where there is none. Raises InspectError."""
        try:
            return RunFolder(path).find_record()
        except (ValueError, OSError):
            raise InspectError(f"{path.name}: run.json cannot be read", "it may be of another version") from None

    def open(self, name: str) -> OpenedRun:
        """A run, as it is now. Raises InspectError."""
        path = self.find().get(name)
        if path is None:
            raise InspectError(f"no run {name[:80]!r} lies here", "the first page lists the runs")
        with self._lock:
            known = self._open.pop(name, None)
            if known is None or (known.rest_until <= self._clock() and _changed(known.run)):
                started = self._clock()
                run = OpenedRun(name, path)
                now = self._clock()
                known = _Known(run, now + max(LOOK_SECONDS, LOOK_SHARE * (now - started)))
            self._open[name] = known  # last in line: the first is the one not asked for longest
            while len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]
            return known.run


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file() or (path / "ledger").is_dir()


def _changed(run: OpenedRun) -> bool:
    return stamp_files(run.database.listing.root) != run.database.listing.stamp
