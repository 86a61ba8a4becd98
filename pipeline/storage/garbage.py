"""Garbage: leftovers of killed processes in runs, and old runs, working folders and copies.

Guarantees: only files that rampforge itself made, in known places, are listed, and none of a running run; links are
not followed; listing removes nothing; paid results (calls of models, answers of web searches) go only with their run.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.remote.mirror import KEPT, SITTING
from pipeline.storage.remote.open_run import RUNS
from pipeline.storage.remote.transfer import COPIES
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.run_lock import LOCK, is_held
from schemas.ledger import ShardCommit

DAY = 86_400.0


class GarbageKind(StrEnum):
    """Kinds of garbage."""

    TEMPORARY = "temporary file"
    JOURNAL = "journal of a finished shard"
    ORPHAN = "rows of no finished shard"
    LIVE = "live file of no process"
    RUN = "old run"
    WORKING = "working folder of a run on a store"
    COPY = "copy of a file on a store"


@dataclass(frozen=True, slots=True)
class Garbage:
    """A file or folder that can be removed."""

    kind: GarbageKind
    path: Path
    size: int
    """Bytes."""
    run: Path
    """The folder whose lock must be free for its removal."""


def find_garbage(
    out: Path, cache: Path, datasets: Sequence[str], now: float, days: float, *, runs: bool
) -> list[Garbage]:
    """Everything that can be removed.

    Args:
        out: Folder of runs, or one run.
        cache: Folder of the assets, with working folders and copies.
        datasets: Names of the datasets that a run may have.
        now: The time, in seconds since 1970.
        days: Age, since the last use, from which on something is old.
        runs: Whether old runs are included.
    """
    found: list[Garbage] = []
    for run in list_runs(out):
        if is_held(run):
            continue
        if runs and _is_old(run / "run.json", now, days):
            found.append(_measure(GarbageKind.RUN, run, run))
        else:
            found += find_leftovers(run, datasets)
    return found + [item for item in _find_caches(cache, now, days) if not is_held(item.run)]


def list_runs(out: Path) -> list[Path]:
    """The runs in a folder, or the folder itself where it is one."""
    folders = [out] if _is_run(out) else sorted(out.iterdir()) if out.is_dir() else []
    return [folder for folder in folders if not folder.is_symlink() and _is_run(folder)]


def _is_run(folder: Path) -> bool:
    """Whether a folder has a readable run record and ledgers."""
    try:
        return (folder / "ledger").is_dir() and RunFolder(folder).find_record() is not None
    except StorageError:
        return False


@contextmanager
def _hold(run: Path) -> Iterator[bool]:
    """Hold a run's own lock, where it has one; False when another process does."""
    path = run / LOCK
    if not path.exists():
        yield True
        return
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def find_leftovers(run: Path, datasets: Iterable[str]) -> list[Garbage]:
    """Leftovers of killed processes and of redone stages in a run."""
    commits = _read_commits(run)
    if commits is None:
        return []
    finished = {(commit.stage, commit.shard) for commit in commits}
    named = {(file.dataset, file.name) for commit in commits for file in commit.files}
    found: list[Garbage] = []
    for folder in (run, *(run / name for name in (*datasets, "live")), *_list_folders(run / "ledger", 2)):
        temporary = (
            path for path in _list(folder) if path.name.startswith(".") and path.name.endswith((".tmp", ".part"))
        )
        found += [_measure(GarbageKind.TEMPORARY, path, run) for path in temporary]
    scratch = (path for path in _list(run) if path.name.startswith(".duplicates-") and path.is_dir())
    found += [_measure(GarbageKind.TEMPORARY, path, run) for path in scratch]
    for folder in _list_folders(run / "journals", 1):
        done = (path for path in _list(folder) if (folder.name, path.stem) in finished)
        found += [_measure(GarbageKind.JOURNAL, path, run) for path in done]
    for dataset in datasets:
        parts = (path for path in _list(run / dataset) if path.match("part-*.parquet"))
        found += [_measure(GarbageKind.ORPHAN, path, run) for path in parts if (dataset, path.name) not in named]
    if (run / "live").is_dir():
        found.append(_measure(GarbageKind.LIVE, run / "live", run))
    return found


def _read_commits(run: Path) -> list[ShardCommit] | None:
    """Every commit of a run; None when one cannot be read: then no file is certain to be an orphan."""
    folder = RunFolder(run)
    try:
        return [commit for stage in folder.stages() for commit in folder.commits(stage)]
    except StorageError:
        return None


def _find_caches(cache: Path, now: float, days: float) -> Iterator[Garbage]:
    for folder in _list_folders(cache / RUNS, 1):
        if _is_old(folder / SITTING, now, days):
            parts = (path for path in _list(folder) if path.name not in KEPT)
            yield from (_measure(GarbageKind.WORKING, path, folder) for path in parts)
    for folder in _list_folders(cache / COPIES, 1):
        if all(
            _is_old(path, now, days) and path.stat().st_atime < now - days * DAY
            for path in folder.rglob("*")
            if path.is_file()
        ):
            yield _measure(GarbageKind.COPY, folder, folder)
    for folder in _list_folders(cache, 1):
        if folder.name.startswith("going-out-") and _is_old(folder, now, 1):
            yield _measure(GarbageKind.TEMPORARY, folder, folder)


def _is_old(path: Path, now: float, days: float) -> bool:
    """Whether an existing file has not been written for this many days."""
    try:
        return path.stat().st_mtime < now - days * DAY
    except OSError:
        return False


def _list(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _list_folders(folder: Path, depth: int) -> list[Path]:
    """Folders up to a depth, without links."""
    found = [path for path in _list(folder) if path.is_dir() and not path.is_symlink()]
    return found + [deeper for path in found for deeper in _list_folders(path, depth - 1) if depth > 1]


def _measure(kind: GarbageKind, path: Path, run: Path) -> Garbage:
    if not path.is_dir() or path.is_symlink():
        return Garbage(kind, path, path.lstat().st_size, run)
    sizes = (os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(path) for name in names)
    return Garbage(kind, path, sum(sizes), run)


def remove_garbage(items: Iterable[Garbage]) -> list[Garbage]:
    """Remove garbage, except that of runs that have been started since; what was removed. Raises StorageError."""
    gone = []
    for item in items:
        with _hold(item.run) as held, wrap_os_errors(item.path):
            if not held:
                continue
            if item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        gone.append(item)
    return gone
