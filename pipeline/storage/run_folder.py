"""Folder of a run: `outputs/<run>/`.

    <dataset>/part-<shard>.parquet   the rows; rejects carry the stage in the name
    ledger/<stage>/<shard>.json      the commit of a finished shard
    ledger/<stage>/stage.json        the settings that the stage was started with
    ledger/<stage>/manifest.json     the finished stage
    journals/<stage>/<shard>.jsonl   outcomes of unfinished shards
    live/                            status of a running stage
    index/                           the search index
    run.json, report.html, logs/

Dataset folders contain Parquet files alone, because `datasets.load_dataset("parquet", data_dir=...)` takes every file
there for Parquet.

A run may be on an object store: then the folder is a `WorkingCopy`. Finished files are uploaded before they count, in
the order in which they are written: rows, commits, manifest. Journals, live files and logs stay in the folder.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TypeVar

from pipeline.errors import StorageError
from pipeline.storage.files import write_atomically
from pipeline.storage.ledger_files import advise_repair, encode_record, read_record
from pipeline.storage.near_runs import suggest_runs
from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.remote.session import hold_lease
from pipeline.storage.run_lock import hold_folder
from schemas.funnel import Reject
from schemas.ledger import RunRecord, ShardCommit, ShardFile, StageManifest, StageStart
from schemas.record import Frozen

T = TypeVar("T", bound=Frozen)


class RunFolder:
    """Paths and small files of one run."""

    def __init__(self, root: Path, mirror: WorkingCopy | None = None) -> None:
        """`mirror`: the working copy of a run on a store."""
        self.root = root
        self.mirror = mirror
        self._manifests: dict[str, StageManifest | None] = {}

    @property
    def location(self) -> str:
        """A folder, or the URL of a store."""
        return self.mirror.url if self.mirror else str(self.root)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.location.rpartition("/")[2] if self.mirror else self.root.resolve().name

    @property
    def index(self) -> Path:
        """Folder of the search index."""
        return self.root / "index"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def dataset(self, dataset: str) -> Path:
        """Folder of a dataset."""
        return self.root / dataset

    def shard(self, dataset: str, shard: str, stage: str) -> Path:
        """Path of one file. Several stages write rejects, so there the stage is part of the name."""
        marker = f"{stage}-" if dataset == Reject.dataset else ""
        return self.dataset(dataset) / f"part-{marker}{shard}.parquet"

    def journal(self, stage: str, shard: str) -> Path:
        """Path of a shard's journal."""
        return self.root / "journals" / stage / f"{shard}.jsonl"

    def live_stage(self, stage: str) -> Path:
        """Path of the status of a running stage."""
        return self.root / "live" / f"{stage}.json"

    def live_shard(self, stage: str, shard: str) -> Path:
        """Path of the status of a running shard."""
        return self.root / "live" / stage / f"{shard}.json"

    def ledger(self, stage: str) -> Path:
        """Folder of a stage's ledger."""
        return self.root / "ledger" / stage

    def stages(self) -> list[str]:
        """The stages with a ledger, by name."""
        folder = self.root / "ledger"
        if self.mirror:
            return self.mirror.list_folders(folder)
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def find_start(self, stage: str) -> StageStart | None:
        """The settings that a stage was started with, if it was. Raises StorageError."""
        return self._find_shared(self.ledger(stage) / "stage.json", StageStart)

    def start(self, stage: str) -> StageStart:
        """The settings that a stage was started with. Raises StorageError when it was not."""
        found = self.find_start(stage)
        if found is None:
            raise StorageError(f"{self.location}: stage {stage} was not started", f"rampforge resume {self.location}")
        return found

    def commits(self, stage: str) -> Iterator[ShardCommit]:
        """The commits of a stage, by shard. Raises StorageError."""
        folder = self.ledger(stage) / "shards"
        if self.mirror:
            self.mirror.fetch_folder(folder)
        for path in sorted(folder.glob("[!.]*.json")):
            yield read_record(path, ShardCommit, self.location)

    def commit(self, commit: ShardCommit) -> None:
        """Write the commit of a shard, after uploading its files."""
        if self.mirror:
            for file in commit.files:
                self.mirror.put(self.dataset(file.dataset) / file.name)
        self.write_record(self.commit_path(commit.stage, commit.shard), commit)

    def find_commit(self, stage: str, shard: str) -> ShardCommit | None:
        """The commit of a shard, if it is finished. Raises StorageError."""
        path = self.commit_path(stage, shard)
        return read_record(path, ShardCommit, self.location) if self._is_there(path) else None

    def commit_path(self, stage: str, shard: str) -> Path:
        """Path of the commit of a shard."""
        return self.ledger(stage) / "shards" / f"{shard}.json"

    def find_manifest(self, stage: str) -> StageManifest | None:
        """The manifest of a stage, if it is finished. Raises StorageError."""
        return self._find_shared(self.ledger(stage) / "manifest.json", StageManifest)

    def manifest(self, stage: str) -> StageManifest:
        """The manifest of a stage. Raises StorageError when the folder is not a run, and, with the command that
        continues the run, when the stage is not finished."""
        found = self.find_manifest(stage)
        if found is None:
            # An imported run has no sources to resume from.
            command = "judge" if self.record().imported else "resume"
            raise StorageError(
                f"{self.location}: stage {stage} is not finished", f"rampforge {command} {shlex.quote(self.location)}"
            )
        return found

    def find_record(self) -> RunRecord | None:
        """run.json, if it exists. Raises StorageError."""
        path = self.fetch(self.root / "run.json", changing=True)
        return read_record(path, RunRecord, self.location) if path.exists() else None

    def record(self) -> RunRecord:
        """run.json. Raises StorageError when the folder is not a run."""
        found = self.find_record()
        if found is None:
            raise StorageError(f"{self.location}: no run.json here", suggest_runs(self.location))
        return found

    @property
    def _holding(self) -> bool:
        """Whether the files that stages share are all in the folder."""
        return self.mirror is None or self.mirror.holding

    def _find_shared(self, path: Path, model: type[T]) -> T | None:
        there = path.exists() if self._holding else self._is_there(path)
        return read_record(path, model, self.location) if there else None

    def _is_there(self, path: Path) -> bool:
        return path.exists() if self.mirror is None else self.mirror.fetch(path)

    def fetch(self, path: Path, *, changing: bool = False) -> Path:
        """A file for reading, if it exists. `changing`: whether it is rewritten while the run goes on."""
        if self.mirror:
            self.mirror.fetch(path, anew=changing and not self._holding)
        return path

    def part(self, dataset: str, shard: str, stage: str) -> Path:
        """Path of a finished file, for reading. Raises StorageError for one that is missing or of another size, and
        when the store has another than was committed."""
        path = self.shard(dataset, shard, stage)
        if found := self.find_part(dataset, shard, stage):
            return found
        raise StorageError(f"{path}: no stage has finished this file", f"`rampforge resume {self.location}` makes it")

    def find_part(self, dataset: str, shard: str, stage: str = "") -> Path | None:
        """The same; None for an unfinished file."""
        path = self.shard(dataset, shard, stage)
        for name in self.stages():
            commit = self.find_commit(name, shard)
            files = commit.files if commit else self._listed(name)
            for file in files:
                if (file.dataset, file.name) == (dataset, path.name):
                    return self._fetch_checked([file])[0]
        return None

    def _listed(self, stage: str) -> tuple[ShardFile, ...]:
        """The files of a stage by its manifest, where its commits are missing: in a copy of a run."""
        if self.mirror or (self.ledger(stage) / "shards").exists():
            return ()
        if stage not in self._manifests:
            self._manifests[stage] = self.find_manifest(stage)
        manifest = self._manifests[stage]
        return tuple(file for commit in manifest.shards for file in commit.files) if manifest else ()

    def files(self, dataset: str) -> list[Path]:
        """The finished files of a dataset, by name, for reading; no other file of its folder. Raises StorageError as
        `part` does."""
        listed: list[ShardFile] = []
        for stage in self.stages():
            manifest = self.find_manifest(stage)
            commits = manifest.shards if manifest else self.commits(stage)
            listed += [file for commit in commits for file in commit.files if file.dataset == dataset]
        return self._fetch_checked(sorted(listed, key=lambda file: file.name))

    def _fetch_checked(self, files: Sequence[ShardFile]) -> list[Path]:
        """Paths of finished files, fetched and of the recorded size."""
        paths = [self.dataset(file.dataset) / file.name for file in files]
        if self.mirror:
            self.mirror.fetch_checked((path, file.sha256) for path, file in zip(paths, files, strict=True))
        for path, file in zip(paths, files, strict=True):
            if fault := find_size_fault(path, file.bytes):
                raise StorageError(f"{path}: {fault}", advise_repair(self.location))
        return paths

    def check_sizes(self, manifest: StageManifest) -> None:
        """Raise StorageError for a file of a finished stage that is missing or of another size. Files on a store are
        checked when they are fetched instead."""
        if not self.mirror:
            self._fetch_checked([file for commit in manifest.shards for file in commit.files])

    def fetch_index(self) -> Path:
        """The folder of the complete search index."""
        if self.mirror:
            self.mirror.fetch_listed(self.index)
        return self.index

    def publish(self, path: Path) -> None:
        """Upload a finished file, or a folder of them, for a run on a store."""
        if self.mirror:
            self.mirror.put_folder(path) if path.is_dir() else self.mirror.put(path)

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file, completely or not at all, to the store first."""
        if self.mirror:
            self.mirror.write(path, content)
        write_atomically(path, content)

    def write_record(self, path: Path, record: Frozen) -> None:
        """Write a file of the ledger, or run.json, with its checksum."""
        self.write(path, encode_record(record))

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files, in order, from the store first."""
        listed = list(paths)
        if self.mirror:
            self.mirror.remove(listed)
        for path in listed:
            path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder, from the store first."""
        if self.mirror:
            self.mirror.remove_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def locked(self, owner: str = "", lost: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Hold the run for this process. Raises StorageError when another process has it.

        Of a run on a store: `owner` names this process in messages; `lost` is called, from a thread, with the reason
        of the loss of the lease.
        """
        lease = hold_lease(self.mirror, owner, lost) if self.mirror else nullcontext()
        with hold_folder(self.root, self.location), lease:
            yield


def find_size_fault(path: Path, size: int) -> str:
    """The defect of a file that should have a size in bytes; empty for none."""
    try:
        actual = path.stat().st_size
    except FileNotFoundError:
        return "missing"
    return "" if actual == size else f"damaged: {actual:,} bytes instead of {size:,}"
