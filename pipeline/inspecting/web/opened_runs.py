"""Runs of a location: opened on request, reopened after changes.

Guarantees: only runs of the location can be opened; a run is opened in a thread, and a request waits for it no longer
than the timeout: it gets the run as it was before, or OpeningError; the least recently used of several runs are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from pipeline.charts.layout import Chart
from pipeline.distillation.rounds_page import list_charts
from pipeline.inspecting.attempt_pages import list_choices
from pipeline.inspecting.attempts_table import open_attempts
from pipeline.inspecting.errors import InspectError, OpeningError
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.shard_listing import SUFFIX, stamp_files
from pipeline.inspecting.summary import Summary, summarise
from schemas.rounds import RoundRecord
from schemas.trajectories import Trajectory

CHECK_SECONDS = 3.0
REOPEN_FACTOR = 10.0
"""Minimum time until a changed run is reopened, as a multiple of the time that opening it took."""
MAX_OPEN = 3
DEPTH = 2
"""Maximum depth of the folders of runs, as in a distillation."""
LOGGED_SECONDS = 1.0
"""Seconds of opening from which a line is printed in the terminal."""


@dataclass(frozen=True, slots=True)
class RoundsView:
    """Rounds of one distillation."""

    name: str
    records: tuple[RoundRecord, ...]
    charts: tuple[Chart, ...]
    fault: str
    """Unreadable files; empty without any."""
    prefix: str
    """Prefix of the names of its runs."""


class OpenedRun:
    """Run, dataset or shard, as it was when it was opened."""

    def __init__(self, name: str, place: DataLocation) -> None:
        """Raises InspectError, StorageError."""
        self.name = name
        self.place = place
        self.database, self.has_attempts = open_attempts(place)
        self.choices: dict[str, list[Any]] = list_choices(self.database) if self.has_attempts else {}
        self.summary: Summary = summarise(self.database)

    @property
    def folder(self) -> Path:
        """Folder of its small files."""
        return self.place.folder


@dataclass(frozen=True, slots=True)
class _CachedRun:
    """Open run, and the time until which it is not checked for changes."""

    run: OpenedRun
    fresh_until: float


class _Opening:
    """Run that a thread is opening."""

    def __init__(self, name: str, place: DataLocation, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        self.started = clock()
        self.seconds = 0.0
        self.run: Future[OpenedRun] = Future()
        Thread(target=self._work, args=(name, place, clock, log), daemon=True).start()

    def _work(self, name: str, place: DataLocation, clock: Callable[[], float], log: Callable[[str], None]) -> None:
        try:
            run = OpenedRun(name, place)
        except Exception as error:  # raised where the run is requested
            self.run.set_exception(error)
            return
        self.seconds = clock() - self.started
        self.run.set_result(run)
        if self.seconds > LOGGED_SECONDS:
            rows = run.database.listing.rows(Trajectory.dataset)
            log(f"{name}: {rows:,} attempts opened in {self.seconds:.1f} s")


class RunOpener:
    """The runs of a location."""

    def __init__(
        self, place: DataLocation, clock: Callable[[], float], timeout: float, log: Callable[[str], None]
    ) -> None:
        """`clock`: monotonic seconds; `log`: prints a line. Raises InspectError for an empty location."""
        self.place = place
        self._clock = clock
        self._timeout = timeout
        self._log = log
        self._lock = Lock()
        self._open: dict[str, _CachedRun] = {}
        self._openings: dict[str, _Opening] = {}
        if not (found := self.find()):
            raise InspectError(f"{place.address}: no run, dataset or shard here", "name a run, such as outputs/demo")
        if len(found) == 1:  # it will be requested
            self._start(*next(iter(found.items())))

    def find(self) -> dict[str, DataLocation]:
        """The runs by name."""
        if self.place.is_file() or self.place.is_run():
            return {self.place.name.removesuffix(".parquet") if self.place.is_file() else self.place.name: self.place}
        runs = dict(_find_runs(self.place, "", DEPTH))
        if runs:
            return runs
        holds_shards = any(file.name.endswith(".parquet") for file in self.place.files())
        return {self.place.name: self.place} if holds_shards else {}

    def find_rounds(self) -> list[RoundsView]:
        """The distillations of the location. Raises StorageError."""
        if self.place.is_file() or self.place.is_run():
            return []
        inner = ((child, child.name, f"{child.name}-") for child in self.place.children() if not child.is_run())
        views = (_view_rounds(*one) for one in [(self.place, self.place.name, ""), *inner])
        return [view for view in views if view is not None]

    def open(self, name: str) -> OpenedRun:
        """A run, as it is now or was recently. Raises InspectError, OpeningError, StorageError."""
        with self._lock:
            known = self._open.pop(name, None)
            if known is not None:
                known = self._refresh(name, known)
                self._open[name] = known  # moved to the end: the first is the least recently used
            opening = self._openings.get(name)
        if opening is None and known is None:
            place = self.find().get(name)
            if place is None:
                raise InspectError(f"no run {name[:80]!r}", "the first page lists the runs")
            opening = self._start(name, place)
        if opening is not None and wait([opening.run], self._timeout).done:
            return self._cache(name, opening)
        if known is not None:
            return known.run
        seconds = self._clock() - opening.started if opening is not None else 0.0
        raise OpeningError(f"{name} is being opened, for {seconds:.0f} s so far", "this page reloads by itself")

    def _refresh(self, name: str, known: _CachedRun) -> _CachedRun:
        """Reopen a run whose files have changed. The caller holds the lock."""
        if known.fresh_until > self._clock() or name in self._openings:
            return known
        if stamp_files(known.run.place) != known.run.database.listing.stamp:
            self._openings[name] = _Opening(name, known.run.place, self._clock, self._log)
        return _CachedRun(known.run, self._clock() + CHECK_SECONDS)

    def _start(self, name: str, place: DataLocation) -> _Opening:
        with self._lock:
            opening = self._openings.get(name)
            if opening is None:
                opening = self._openings[name] = _Opening(name, place, self._clock, self._log)
            return opening

    def _cache(self, name: str, opening: _Opening) -> OpenedRun:
        """Add an opened run to the cache. Raises the error of opening it."""
        with self._lock:
            if self._openings.get(name) is opening:
                del self._openings[name]
                run = opening.run.result()
                seconds = max(CHECK_SECONDS, REOPEN_FACTOR * opening.seconds)
                self._open.pop(name, None)
                self._open[name] = _CachedRun(run, self._clock() + seconds)
                while len(self._open) > MAX_OPEN:
                    del self._open[next(iter(self._open))]
            return opening.run.result()


def _find_runs(place: DataLocation, prefix: str, depth: int) -> Iterator[tuple[str, DataLocation]]:
    for child in place.children():
        if child.is_run():
            yield f"{prefix}{child.name}", child
        elif depth and not child.name.startswith("."):
            yield from _find_runs(child, f"{prefix}{child.name}-", depth - 1)


def _view_rounds(place: DataLocation, name: str, prefix: str) -> RoundsView | None:
    """The rounds of a folder; None without any. Raises StorageError."""
    folder = next((child for child in place.children() if child.name == RoundRecord.dataset), None)
    records, faults = [], []
    if folder is None:
        return None
    for file in folder.files():
        if not file.name.endswith(SUFFIX) or file.is_outside:
            continue
        try:
            with folder.open(file) as shard:
                records += [RoundRecord.model_validate(row) for row in shard.read().to_pylist()]
        except (pa.ArrowException, OSError, ValidationError):
            faults.append(file.name)
    if not records and not faults:
        return None
    records.sort(key=lambda record: record.number)
    charts = tuple(chart for chart in list_charts(records) if chart) if records else ()
    fault = f"no complete record of this version: {', '.join(faults)}" if faults else ""
    return RoundsView(name, tuple(records), charts, fault, prefix)
