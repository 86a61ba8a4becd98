"""Where everything of a run lies: `outputs/<run>/`.

    <dataset>/part-<shard>.parquet   the rows; rejects carry the stage in the name
    ledger/<stage>/<shard>.json      the commit of a finished shard
    ledger/<stage>/stage.json        what the stage was started with
    ledger/<stage>/manifest.json     the finished stage
    journals/<stage>/<shard>.jsonl   outcomes of shards under way
    live/                            what a stage under way tells whoever watches it
    index/                           the search index
    run.json, report.html, logs/

Dataset folders hold Parquet files and nothing else, because `datasets.load_dataset("parquet", data_dir=...)` takes
every file it finds there for Parquet.

A run may lie on an object store: then the folder here is a working copy of it, kept in step by a `RunMirror`. What is
finished is put there before it counts, in the order in which it is written here: rows, commits, manifest. Journals,
live files and logs stay here. For a run that lies here nothing of that costs anything.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import RunHeldError, StorageError
from pipeline.storage.boundary import storage_boundary, write_whole
from pipeline.storage.run_mirror import LOCK, RunMirror
from pipeline.storage.store_sitting import hold_store
from schemas.funnel import Reject
from schemas.ledger import RunRecord, ShardCommit, ShardFile, StageManifest


class RunFolder:
    """The paths of one run, and its small files."""

    def __init__(self, root: Path, mirror: RunMirror | None = None) -> None:
        """`mirror`: the store that the run lies on, when it is not the folder itself."""
        self.root = root
        self.mirror = mirror

    @property
    def location(self) -> str:
        """Where the run lies, as a person names it: a folder, or the URL of a store."""
        return self.mirror.url if self.mirror else str(self.root)

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
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
        """Path of what a stage under way tells."""
        return self.root / "live" / f"{stage}.json"

    def live_shard(self, stage: str, shard: str) -> Path:
        """Path of what a shard under way tells."""
        return self.root / "live" / stage / f"{shard}.json"

    def ledger(self, stage: str) -> Path:
        """Folder of a stage's ledger."""
        return self.root / "ledger" / stage

    def commits(self, stage: str) -> Iterator[ShardCommit]:
        """The finished shards of a stage, in order of their names."""
        folder = self.ledger(stage) / "shards"
        if self.mirror:
            self.mirror.fetch_folder(folder)
        for path in sorted(folder.glob("*.json")):
            yield ShardCommit.model_validate_json(path.read_bytes())

    def commit(self, commit: ShardCommit) -> None:
        """Write the proof that a shard is whole, once its files are where the run lies."""
        if self.mirror:
            for file in commit.files:
                self.mirror.put(self.dataset(file.dataset) / file.name)
        self.write(self._commit_path(commit.stage, commit.shard), commit.model_dump_json().encode())

    def find_commit(self, stage: str, shard: str) -> ShardCommit | None:
        """The proof that a shard is whole, if it is."""
        path = self._commit_path(stage, shard)
        return ShardCommit.model_validate_json(path.read_bytes()) if self._is_there(path) else None

    def _commit_path(self, stage: str, shard: str) -> Path:
        return self.ledger(stage) / "shards" / f"{shard}.json"

    def find_manifest(self, stage: str) -> StageManifest | None:
        """The manifest of a finished stage, if it is."""
        path = self.ledger(stage) / "manifest.json"
        there = path.exists() if self._holding else self._is_there(path)
        return StageManifest.model_validate_json(path.read_bytes()) if there else None

    def manifest(self, stage: str) -> StageManifest:
        """The manifest of a finished stage. Raises StorageError when it is not."""
        found = self.find_manifest(stage)
        if found is None:
            raise StorageError(f"{self.location}: stage {stage} is not finished", f"rampforge resume {self.location}")
        return found

    def find_record(self) -> RunRecord | None:
        """run.json, if there is one."""
        path = self.fetch(self.root / "run.json", changing=True)
        return RunRecord.model_validate_json(path.read_bytes()) if path.exists() else None

    def record(self) -> RunRecord:
        """run.json. Raises StorageError when the folder is no run."""
        found = self.find_record()
        if found is None:
            raise StorageError(f"{self.location}: no run.json here", "name a run folder, such as outputs/demo")
        return found

    @property
    def _holding(self) -> bool:
        """Whether what stages share is all here."""
        return self.mirror is None or self.mirror.holding

    def _is_there(self, path: Path) -> bool:
        return path.exists() if self.mirror is None else self.mirror.fetch(path)

    def fetch(self, path: Path, *, changing: bool = False) -> Path:
        """A file, for reading; it may not be there. `changing`: it is written again while the run goes on."""
        if self.mirror:
            self.mirror.fetch(path, anew=changing and not self._holding)
        return path

    def part(self, dataset: str, shard: str, stage: str) -> Path:
        """Path of a finished file, for reading. Raises StorageError when the store has another than was committed."""
        path = self.shard(dataset, shard, stage)
        if self.mirror and not path.exists():
            for name in self.mirror.list_folders(self.root / "ledger"):
                commit = self.find_commit(name, shard)
                files = commit.files if commit else ()
                self._fetch(file for file in files if (file.dataset, file.name) == (dataset, path.name))
        return path

    def fetch_dataset(self, dataset: str) -> Path:
        """The folder of a dataset, all of its finished files in it."""
        if self.mirror:
            for stage in self.mirror.list_folders(self.root / "ledger"):
                manifest = self.find_manifest(stage)
                commits = manifest.shards if manifest else self.commits(stage)
                self._fetch(file for commit in commits for file in commit.files if file.dataset == dataset)
        return self.dataset(dataset)

    def _fetch(self, files: Iterable[ShardFile]) -> None:
        if self.mirror:
            self.mirror.fetch_checked((self.dataset(file.dataset) / file.name, file.sha256) for file in files)

    def fetch_index(self) -> Path:
        """The folder of the search index, all of it."""
        if self.mirror:
            self.mirror.fetch_listed(self.index)
        return self.index

    def publish(self, path: Path) -> None:
        """Put a finished file, or a folder of them, where the run lies."""
        if self.mirror:
            self.mirror.put_folder(path) if path.is_dir() else self.mirror.put(path)

    def write(self, path: Path, content: bytes) -> None:
        """Write a small file so that it is there whole or not at all, where the run lies first."""
        if self.mirror:
            self.mirror.write(path, content)
        write_whole(path, content)

    def remove(self, paths: Iterable[Path]) -> None:
        """Take files away, in order; where the run lies first."""
        gone = list(paths)
        if self.mirror:
            self.mirror.remove(gone)
        for path in gone:
            path.unlink(missing_ok=True)

    def remove_folder(self, folder: Path) -> None:
        """Take a folder away with all that lies in it; where the run lies first."""
        if self.mirror:
            self.mirror.remove_folder(folder)
        shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def locked(self, owner: str = "", lost: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Hold the run for this process. Raises StorageError when another process has it.

        `owner` and `lost` matter where the run lies on a store: who we are, for people; and what is called, from a
        thread, with the reason, when the run is no longer ours.
        """
        with storage_boundary(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / LOCK).open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunHeldError(
                    f"{self.location}: another rampforge is at work here", "wait for it, or stop it"
                ) from None
            if self.mirror is None:
                yield
            else:
                with hold_store(self.mirror, owner, lost):
                    yield
