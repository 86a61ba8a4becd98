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
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.boundary import storage_boundary, write_whole
from schemas.funnel import Reject
from schemas.ledger import RunRecord, ShardCommit, StageManifest


class RunFolder:
    """The paths of one run, and its small files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.root.resolve().name

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
        for path in sorted((self.ledger(stage) / "shards").glob("*.json")):
            yield ShardCommit.model_validate_json(path.read_bytes())

    def commit(self, commit: ShardCommit) -> None:
        """Write the proof that a shard is whole."""
        write_whole(self._commit_path(commit.stage, commit.shard), commit.model_dump_json().encode())

    def find_commit(self, stage: str, shard: str) -> ShardCommit | None:
        """The proof that a shard is whole, if it is."""
        path = self._commit_path(stage, shard)
        return ShardCommit.model_validate_json(path.read_bytes()) if path.exists() else None

    def _commit_path(self, stage: str, shard: str) -> Path:
        return self.ledger(stage) / "shards" / f"{shard}.json"

    def find_manifest(self, stage: str) -> StageManifest | None:
        """The manifest of a finished stage, if it is."""
        path = self.ledger(stage) / "manifest.json"
        return StageManifest.model_validate_json(path.read_bytes()) if path.exists() else None

    def manifest(self, stage: str) -> StageManifest:
        """The manifest of a finished stage. Raises StorageError when it is not."""
        found = self.find_manifest(stage)
        if found is None:
            raise StorageError(f"{self.root}: stage {stage} is not finished", f"rampforge resume {self.root}")
        return found

    def find_record(self) -> RunRecord | None:
        """run.json, if there is one."""
        path = self.root / "run.json"
        return RunRecord.model_validate_json(path.read_bytes()) if path.exists() else None

    def record(self) -> RunRecord:
        """run.json. Raises StorageError when the folder is no run."""
        found = self.find_record()
        if found is None:
            raise StorageError(f"{self.root}: no run.json here", "name a run folder, such as outputs/demo")
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises StorageError when another process has it."""
        with storage_boundary(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StorageError(
                    f"{self.root}: another rampforge is at work here", "wait for it, or stop it"
                ) from None
            yield
