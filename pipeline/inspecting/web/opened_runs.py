"""The runs that the pages show: found in a place, opened when they are asked for, opened again when they change.

Promises: only what lies in the place can be asked for; a run is opened beside the requests, so none waits for longer
than the shelf's patience: it is shown as it was before, or what is being done is told; of several runs the ones not
looked at lately are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from pipeline.errors import StorageError
from pipeline.inspecting.attempt_pages import list_choices
from pipeline.inspecting.attempts_table import open_attempts
from pipeline.inspecting.errors import InspectError, OpeningError
from pipeline.inspecting.locations import DataLocation
from pipeline.inspecting.round_views import RoundsView, view_rounds
from pipeline.inspecting.shard_listing import stamp_files
from pipeline.inspecting.summary import Summary, summarise
from pipeline.storage.run_folder import RunFolder
from schemas.ledger import RunRecord
from schemas.trajectories import Trajectory

LOOK_SECONDS = 3.0
LOOK_SHARE = 10.0
"""A run that changes all the time is opened again after so many times what opening it took, at the soonest."""
MOST_OPEN = 3
DEPTH = 2
"""Runs lie so many folders deep at most, as those of a distillation do."""
WORTH_TELLING = 1.0
"""Seconds of opening that are worth a line in the terminal."""


class OpenedRun:
    """One run, dataset or shard, as it lay there at one time."""

    def __init__(self, name: str, place: DataLocation) -> None:
        """Raises InspectError, StorageError."""
        self.name = name
        self.place = place
        self.database, self.has_attempts = open_attempts(place)
        self.choices: dict[str, list[Any]] = list_choices(self.database) if self.has_attempts else {}
        self.summary: Summary = summarise(self.database)

    @property
    def folder(self) -> Path:
        """Where its small files are read."""
        return self.place.folder


@dataclass(frozen=True, slots=True)
class _OpenedRun:
    """An open run, and the time before which it is not looked at again."""

    run: OpenedRun
    rest_until: float


class _Opening:
    """A run that a thread is opening."""

    def __init__(self, name: str, place: DataLocation, clock: Callable[[], float], tell: Callable[[str], None]) -> None:
        self.started = clock()
        self.seconds = 0.0
        self._clock = clock
        self._tell = tell
        self._done = Event()
        self._run: OpenedRun | None = None
        self._fault: Exception | None = None
        Thread(target=self._work, args=(name, place), daemon=True).start()

    def _work(self, name: str, place: DataLocation) -> None:
        try:
            self._run = OpenedRun(name, place)
        except Exception as error:  # whatever it is, whoever waits is told
            self._fault = error
        self.seconds = self._clock() - self.started
        self._done.set()
        if self._run is not None and self.seconds > WORTH_TELLING:
            rows = self._run.database.listing.rows(Trajectory.dataset)
            self._tell(f"{name}: {rows:,} attempts opened in {self.seconds:.1f} s")

    def wait(self, seconds: float) -> bool:
        """Whether it is done, after so long at most."""
        return self._done.wait(seconds)

    def take(self) -> OpenedRun:
        """What came of it. Raises what opening raised."""
        if self._run is None:
            raise self._fault or RuntimeError("asked too early")
        return self._run


class RunShelf:
    """All runs of a place."""

    def __init__(
        self, place: DataLocation, clock: Callable[[], float], patience: float, tell: Callable[[str], None]
    ) -> None:
        """`clock` counts seconds; `tell` shows a line. Raises InspectError where nothing can be shown."""
        self.place = place
        self._clock = clock
        self._patience = patience
        self._tell = tell
        self._lock = Lock()
        self._open: dict[str, _OpenedRun] = {}
        self._openings: dict[str, _Opening] = {}
        if not (found := self.find()):
            raise InspectError(
                f"{place.address}: no run, dataset or shard lies here", "name a run, such as outputs/demo"
            )
        if len(found) == 1:  # it will be asked for
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
        """The distillations, of which the runs of some names are part. Raises StorageError."""
        if self.place.is_file() or self.place.is_run():
            return []
        inner = ((child, child.name, f"{child.name}-") for child in self.place.children() if not child.is_run())
        views = (view_rounds(*one) for one in [(self.place, self.place.name, ""), *inner])
        return [view for view in views if view is not None]

    def read_card(self, place: DataLocation) -> RunRecord | None:
        """What run.json says, without opening a shard; None where there is none. Raises InspectError."""
        try:
            place.fetch_record()
            return RunFolder(place.folder).find_record()
        except StorageError as error:
            raise InspectError(f"{place.name}: {error.what}", error.fix) from None

    def open(self, name: str) -> OpenedRun:
        """A run, as it is now or was lately. Raises InspectError, OpeningError, StorageError."""
        with self._lock:
            known = self._open.pop(name, None)
            if known is not None:
                known = self._look_again(name, known)
                self._open[name] = known  # last in line: the first is the one not asked for longest
            opening = self._openings.get(name)
        if opening is None and known is None:
            place = self.find().get(name)
            if place is None:
                raise InspectError(f"no run {name[:80]!r} lies here", "the first page lists the runs")
            opening = self._start(name, place)
        if opening is not None and opening.wait(self._patience):
            return self._keep(name, opening)
        if known is not None:
            return known.run
        seconds = self._clock() - opening.started if opening is not None else 0.0
        raise OpeningError(f"{name} is being opened, for {seconds:.0f} s so far", "this page asks again by itself")

    def _look_again(self, name: str, known: _OpenedRun) -> _OpenedRun:
        """Open it again in time if its files have changed. The lock is held."""
        if known.rest_until > self._clock() or name in self._openings:
            return known
        if stamp_files(known.run.place) != known.run.database.listing.stamp:
            self._openings[name] = _Opening(name, known.run.place, self._clock, self._tell)
        return _OpenedRun(known.run, self._clock() + LOOK_SECONDS)

    def _start(self, name: str, place: DataLocation) -> _Opening:
        with self._lock:
            opening = self._openings.get(name)
            if opening is None:
                opening = self._openings[name] = _Opening(name, place, self._clock, self._tell)
            return opening

    def _keep(self, name: str, opening: _Opening) -> OpenedRun:
        """Put what was opened on the shelf."""
        with self._lock:
            if self._openings.get(name) is opening:
                del self._openings[name]
                run = opening.take()
                rest = max(LOOK_SECONDS, LOOK_SHARE * opening.seconds)
                self._open.pop(name, None)
                self._open[name] = _OpenedRun(run, self._clock() + rest)
                while len(self._open) > MOST_OPEN:
                    del self._open[next(iter(self._open))]
            return opening.take()


def _find_runs(place: DataLocation, prefix: str, depth: int) -> Iterator[tuple[str, DataLocation]]:
    for child in place.children():
        if child.is_run():
            yield f"{prefix}{child.name}", child
        elif depth and not child.name.startswith("."):
            yield from _find_runs(child, f"{prefix}{child.name}-", depth - 1)
