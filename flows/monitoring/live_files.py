"""Reads and writes the small files that a run under way tells of itself in.

Promises: a reader sees a whole record or none; nothing that goes wrong here ever stops the work. They are not synced to
the disk: after a power cut they are worth nothing.
"""

from __future__ import annotations

import fcntl
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.storage.files import temporary_name
from pipeline.storage.remote.mirror import LOCK
from pipeline.storage.run_folder import RunFolder
from schemas.live import RunState, ShardLive, StageLive

LiveRecord = TypeVar("LiveRecord", ShardLive, StageLive)


def write_live(path: Path, record: ShardLive | StageLive) -> None:
    """Put a record in place of the one before."""
    temporary = temporary_name(path)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(record.model_dump_json())
        temporary.replace(path)


def read_live(path: Path, model: type[LiveRecord]) -> LiveRecord | None:
    """The record at a path; None where there is none, or one of another version."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_shards(run: RunFolder, stage: str) -> list[ShardLive]:
    """The shards of a stage that are under work, in order of their names."""
    records = (read_live(path, ShardLive) for path in sorted(run.live_shard(stage, "x").parent.glob("[!.]*.json")))
    return [record for record in records if record is not None]


def find_stage(run: RunFolder, now: float) -> StageLive | None:
    """The stage that is under work at a time, in seconds since 1970; None where no process is at work."""
    records = [read_live(path, StageLive) for path in sorted(run.live_stage("x").parent.glob("[!.]*.json"))]
    fresh = [record for record in records if record is not None and not record.is_stale(now)]
    return max(fresh, key=lambda record: record.at, default=None)


def clear_live(run: RunFolder) -> None:
    """Remove everything: what lies there is of a stage that has ended, or of a process that died."""
    shutil.rmtree(run.live_stage("x").parent, ignore_errors=True)


def is_held(run: RunFolder) -> bool:
    """Whether a process works on the run now."""
    try:
        with (run.root / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_state(run: RunFolder, now: float) -> RunState:
    """What a run is doing at a time, in seconds since 1970."""
    if find_stage(run, now) is not None:
        return RunState.RUNNING
    started, finished = (list((run.root / "ledger").glob(f"*/{name}.json")) for name in ("stage", "manifest"))
    if is_held(run):
        begun = _read_time(run.root / LOCK)
        return RunState.BETWEEN if any(_read_time(path) > begun for path in finished) else RunState.STARTING
    if not started and not finished:
        return RunState.EMPTY
    unfinished = {path.parent for path in started} - {path.parent for path in finished}
    return RunState.STOPPED if unfinished else RunState.DONE


def _read_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
