"""What the page tells of a job under way. Where it comes from is for whoever serves the page to say."""

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
    """An input that was finished lately and stands in a journal."""

    shard: str
    key: str
    made: str
    """What came of it: rows by dataset, or the reason why nothing did."""
    rejected: bool
    """Whether nothing but rejects came of it."""


@dataclass(frozen=True, slots=True)
class LiveView:
    """What a run is doing."""

    state: RunState
    stage: StageLive | None
    """The stage under work."""
    shards: tuple[ShardLive, ...]
    words: str
    """How far the stage is, in one line."""


ReadLive = Callable[[Path], LiveView]
"""From a run's folder to what its job tells."""


def read_latest(run: Path, limit: int = LATEST) -> tuple[list[Finished], int]:
    """What the journals of a run hold: the last inputs of the one written last, those of which only rejects came left
    out unless there are no others, and the bytes of all."""
    journals = [path for path in (run / "journals").glob("*/*.jsonl") if path.is_file()]
    if not journals:
        return [], 0
    sizes = {path: path.stat() for path in journals}
    newest = max(journals, key=lambda path: (sizes[path].st_mtime_ns, path))
    with newest.open("rb") as file:
        start = max(0, sizes[newest].st_size - TAIL_BYTES)
        file.seek(start)
        lines = file.read().split(b"\n")
    whole = lines[1 if start else 0 : -1]  # the first may begin in the middle, the last may not have ended
    ended = [found for line in reversed(whole) if (found := _read_line(line, newest.stem)) is not None]
    latest = [one for one in ended if not one.rejected] or ended
    return latest[:limit], sum(stat.st_size for stat in sizes.values())


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
