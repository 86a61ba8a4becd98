"""Reader and writer of the live files, the small status files of a run in progress.

Guarantees: a reader sees a whole record or none; an error here never stops the work. The files are not synced to the
disk, so they are worthless after a power failure.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline.storage.files import temporary_name
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.run_lock import LOCK, is_held
from schemas.live import RunState, ShardLive, StageLive

LiveRecord = TypeVar("LiveRecord", ShardLive, StageLive)


def write_live(path: Path, record: ShardLive | StageLive) -> None:
    """Replace the previous record."""
    temporary = temporary_name(path)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(record.model_dump_json())
        temporary.replace(path)


def read_live(path: Path, model: type[LiveRecord]) -> LiveRecord | None:
    """Return the record at a path; None where there is none, or one of another version."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_shards(run: RunFolder, stage: str) -> list[ShardLive]:
    """Return the shards of a stage that are in progress, ordered by name."""
    records = (read_live(path, ShardLive) for path in sorted(run.live_shard(stage, "x").parent.glob("[!.]*.json")))
    return [record for record in records if record is not None]


def find_stage(run: RunFolder, now: float) -> StageLive | None:
    """Return the stage in progress at a time, in seconds since 1970; None where no process works."""
    records = [read_live(path, StageLive) for path in sorted(run.live_stage("x").parent.glob("[!.]*.json"))]
    fresh = [record for record in records if record is not None and not record.is_stale(now)]
    return max(fresh, key=lambda record: record.at, default=None)


def clear_live(run: RunFolder) -> None:
    """Remove all live files: they belong to a stage that has ended, or to a process that died."""
    shutil.rmtree(run.live_stage("x").parent, ignore_errors=True)


def read_state(run: RunFolder, now: float) -> RunState:
    """Return the state of a run at a time, in seconds since 1970."""
    if find_stage(run, now) is not None:
        return RunState.RUNNING
    started, finished = (list((run.root / "ledger").glob(f"*/{name}.json")) for name in ("stage", "manifest"))
    if is_held(run.root):
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
