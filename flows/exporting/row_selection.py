"""Selection of the trajectories of an export: a condition over the attempts, and what people marked bad.

The condition is that of `rampforge inspect --where`, over the same table. An id takes eight bytes of memory.
"""

# ruff: noqa: S608  # the user's condition is SQL: ReadonlyDatabase admits nothing but one SELECT
from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b

import duckdb
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.inspecting.attempts_table import ATTEMPTS, open_attempts
from pipeline.inspecting.conditions import check_condition, enclose_condition
from pipeline.inspecting.reviews import ReviewStore
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from schemas.exports import ExportSettings
from schemas.funnel import FunnelStep, Reject
from schemas.reviews import ReviewMark
from schemas.trajectories import Trajectory

STAGE = "selection"
UNSELECTED, MARKED_BAD = "unselected", "marked_bad"
BATCH = 10_000
SECONDS = 900.0


class RowSelection:
    """Trajectories that may become rows, and a count of the others."""

    def __init__(self, run: RunFolder, settings: ExportSettings, rejects: ShardWriter) -> None:
        """Raises InspectError for an invalid condition, ConfigError where nothing was reviewed."""
        self._chosen = None if settings.where is None else find_matching(run, settings.where)
        self._bad = read_bad(run) if settings.reviewed else frozenset()
        self._active = self._chosen is not None or settings.reviewed
        self._rejects, self._reasons, self._entered = rejects, Counter[str](), 0

    def admits(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory may become a row."""
        self._entered += 1
        reason = self._find_reason(trajectory.trajectory_id)
        if reason:
            self._reasons[reason] += 1
            reject = Reject(stage=STAGE, unit="trajectory", input_id=trajectory.trajectory_id, reason=reason, detail="")
            self._rejects.append(reject.model_dump(mode="json"))
        return reason is None

    def funnel(self) -> tuple[FunnelStep, ...]:
        """Return the totals; none where nothing was asked for."""
        if not self._active:
            return ()
        passed, rejected = self._entered - self._reasons.total(), dict(sorted(self._reasons.items()))
        step = FunnelStep(stage=STAGE, unit="trajectory", entered=self._entered, passed=passed, rejected=rejected)
        return (step,)

    def _find_reason(self, trajectory_id: str) -> str | None:
        if trajectory_id in self._bad:
            return MARKED_BAD
        if self._chosen is not None and not _holds(self._chosen, _hash(trajectory_id)):
            return UNSELECTED
        return None


def find_matching(run: RunFolder, where: str) -> NDArray[np.uint64]:
    """Return the hashes of the trajectories that match a condition, sorted. Raises InspectError."""
    enclosed = enclose_condition(where)
    database, _ = open_attempts(run.root)
    try:
        check_condition(database, ATTEMPTS, enclosed)
        with database.cursor(SECONDS) as cursor:
            cursor.execute(f"SELECT trajectory_id FROM {ATTEMPTS} WHERE {enclosed}")
            hashes = np.fromiter(map(_hash, _read_ids(cursor)), np.uint64)
    finally:
        database.close()
    hashes.sort()
    return hashes


def read_bad(run: RunFolder) -> frozenset[str]:
    """Return the trajectories that people marked bad. Raises ConfigError where nobody reviewed the run."""
    reviews = ReviewStore(run.root).read()
    if not reviews:
        raise ConfigError(f"{run.root} has no reviews", f"rampforge inspect --web {run.root}, or export all")
    return frozenset(name for name, review in reviews.items() if review.mark is ReviewMark.BAD)


def _read_ids(cursor: duckdb.DuckDBPyConnection) -> Iterator[str]:
    while rows := cursor.fetchmany(BATCH):
        yield from (name for (name,) in rows)


def _hash(trajectory_id: str) -> int:
    return int.from_bytes(blake2b(trajectory_id.encode(), digest_size=8).digest())


def _holds(hashes: NDArray[np.uint64], wanted: int) -> bool:
    place = int(np.searchsorted(hashes, np.uint64(wanted)))
    return place < len(hashes) and int(hashes[place]) == wanted
