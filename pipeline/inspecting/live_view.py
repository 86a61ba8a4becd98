"""State of a running job, as the page shows it; the caller provides its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from schemas.live import RunState, ShardLive, StageLive

TAIL_BYTES = 200_000
LATEST = 12


@dataclass(frozen=True, slots=True)
class Finished:
    """Input that was finished recently, from a journal."""

    shard: str
    key: str
    made: str
    """Rows by dataset, or reject reasons."""
    rejected: bool
    """Whether it has only rejects."""


@dataclass(frozen=True, slots=True)
class LiveView:
    """State of a run."""

    state: RunState
    stage: StageLive | None
    """The running stage."""
    shards: tuple[ShardLive, ...]
    words: str
    """Progress of the stage, in one line."""


ReadLive = Callable[[Path], LiveView]
"""From a run's folder to its state."""


def read_latest(run: Path) -> tuple[list[Finished], int]:
    """Return the last inputs of the newest journal, and the total size of all journals in bytes.

    Rejected inputs are included only when there are no others.
    """
    journals = [path for path in (run / "journals").glob("*/*.jsonl") if path.is_file()]
    if not journals:
        return [], 0
    sizes = {path: path.stat() for path in journals}
    newest = max(journals, key=lambda path: (sizes[path].st_mtime_ns, path))
    with newest.open("rb") as file:
        start = max(0, sizes[newest].st_size - TAIL_BYTES)
        file.seek(start)
        lines = file.read().split(b"\n")
    whole = lines[1 if start else 0 : -1]  # the first may be cut off, the last incomplete
    ended = [one for line in reversed(whole) if (one := _read_line(line, newest.stem)) is not None]
    latest = [one for one in ended if not one.rejected] or ended
    return latest[:LATEST], sum(stat.st_size for stat in sizes.values())


def _read_line(line: bytes, shard: str) -> Finished | None:
    try:
        outcome: dict[str, Any] = orjson.loads(line)
        made: dict[str, int] = {}
        for dataset, row in outcome["rows"]:
            what = f"{dataset}: {row['reason']}" if dataset == "rejects" else str(dataset)
            made[what] = made.get(what, 0) + 1
        words = ", ".join(f"{count} {what}" if count > 1 else what for what, count in made.items())
        rejected = bool(made) and all(what.startswith("rejects: ") for what in made)
        return Finished(shard, str(outcome["key"]), words or "nothing", rejected)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
