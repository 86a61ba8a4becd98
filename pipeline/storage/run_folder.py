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

A run may lie on an object store: then the folder here is a working copy of it, kept in step by a `WorkingCopy`. What is
finished is put there before it counts, in the order in which it is written here: rows, commits, manifest. Journals,
live files and logs stay here. For a run that lies here nothing of that costs anything.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import StorageError
from pipeline.storage.files import write_atomically
from pipeline.storage.ledger_files import advise_repair, encode_record, read_record
from pipeline.storage.remote.mirror import WorkingCopy
from pipeline.storage.remote.session import hold_lease
from pipeline.storage.run_lock import hold_folder
from schemas.funnel import Reject
from schemas.ledger import RunRecord, ShardCommit, ShardFile, StageManifest, StageStart
from schemas.record import Frozen


class RunFolder:
    """The paths of one run, and its small files."""

    def __init__(self, root: Path, mirror: WorkingCopy | None = None) -> None:
        """`mirror`: the store that the run lies on, when it is not the folder itself."""
        self.root = root
        self.mirror = mirror
        self._manifests: dict[str, StageManifest | None] = {}

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

    def stages(self) -> list[str]:
        """The stages that have a ledger, in order of their names."""
        folder = self.root / "ledger"
        if self.mirror:
            return self.mirror.list_folders(folder)
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def find_start(self, stage: str) -> StageStart | None:
        """What a stage was started with, if it was. Raises StorageError."""
        path = self.ledger(stage) / "stage.json"
        there = path.exists() if self._holding else self._is_there(path)
        return read_record(path, StageStart, self.location) if there else None

    def start(self, stage: str) -> StageStart:
        """What a stage was started with. Raises StorageError when it was not."""
        found = self.find_start(stage)
        if found is None:
            raise StorageError(f"{self.location}: stage {stage} was not started", f"rampforge resume {self.location}")
        return found

    def commits(self, stage: str) -> Iterator[ShardCommit]:
        """The finished shards of a stage, in order of their names. Raises StorageError."""
        folder = self.ledger(stage) / "shards"
        if self.mirror:
            self.mirror.fetch_folder(folder)
        for path in sorted(folder.glob("[!.]*.json")):
            yield read_record(path, ShardCommit, self.location)

    def commit(self, commit: ShardCommit) -> None:
        """Write the proof that a shard is whole, once its files are where the run lies."""
        if self.mirror:
            for file in commit.files:
                self.mirror.put(self.dataset(file.dataset) / file.name)
        self.write_record(self.commit_path(commit.stage, commit.shard), commit)

    def find_commit(self, stage: str, shard: str) -> ShardCommit | None:
        """The proof that a shard is whole, if it is. Raises StorageError."""
        path = self.commit_path(stage, shard)
        return read_record(path, ShardCommit, self.location) if self._is_there(path) else None

    def commit_path(self, stage: str, shard: str) -> Path:
        """Path of the proof that a shard is whole."""
        return self.ledger(stage) / "shards" / f"{shard}.json"

    def find_manifest(self, stage: str) -> StageManifest | None:
        """The manifest of a finished stage, if it is. Raises StorageError."""
        path = self.ledger(stage) / "manifest.json"
        there = path.exists() if self._holding else self._is_there(path)
        return read_record(path, StageManifest, self.location) if there else None

    def manifest(self, stage: str) -> StageManifest:
        """The manifest of a finished stage. Raises StorageError when it is not."""
        found = self.find_manifest(stage)
        if found is None:
            raise StorageError(f"{self.location}: stage {stage} is not finished", f"rampforge resume {self.location}")
        return found

    def find_record(self) -> RunRecord | None:
        """run.json, if there is one. Raises StorageError."""
        path = self.fetch(self.root / "run.json", changing=True)
        return read_record(path, RunRecord, self.location) if path.exists() else None

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
        """Path of a finished file, for reading. Raises StorageError for one that is missing or not of its size, and
        when the store has another than was committed."""
        path = self.shard(dataset, shard, stage)
        if found := self.find_part(dataset, shard, stage):
            return found
        raise StorageError(f"{path}: no stage has finished this file", f"`rampforge resume {self.location}` makes it")

    def find_part(self, dataset: str, shard: str, stage: str = "") -> Path | None:
        """The same; None for a file that no stage has finished."""
        path = self.shard(dataset, shard, stage)
        for name in self.stages():
            commit = self.find_commit(name, shard)
            files = commit.files if commit else self._listed(name)
            for file in files:
                if (file.dataset, file.name) == (dataset, path.name):
                    return self._bring([file])[0]
        return None

    def _listed(self, stage: str) -> tuple[ShardFile, ...]:
        """The files of a stage by its manifest, where the commits themselves are not here: in a copy of a run."""
        if self.mirror or (self.ledger(stage) / "shards").exists():
            return ()
        if stage not in self._manifests:
            self._manifests[stage] = self.find_manifest(stage)
        manifest = self._manifests[stage]
        return tuple(file for commit in manifest.shards for file in commit.files) if manifest else ()

    def files(self, dataset: str) -> list[Path]:
        """The finished files of a dataset, in order of their names, for reading; nothing else that is in its folder.
        Raises StorageError as `part` does."""
        found: list[ShardFile] = []
        for stage in self.stages():
            manifest = self.find_manifest(stage)
            commits = manifest.shards if manifest else self.commits(stage)
            found += [file for commit in commits for file in commit.files if file.dataset == dataset]
        return self._bring(sorted(found, key=lambda file: file.name))

    def _bring(self, files: Sequence[ShardFile]) -> list[Path]:
        """Paths of finished files, each here and of its size."""
        paths = [self.dataset(file.dataset) / file.name for file in files]
        if self.mirror:
            self.mirror.fetch_checked((path, file.sha256) for path, file in zip(paths, files, strict=True))
        for path, file in zip(paths, files, strict=True):
            if fault := find_size_fault(path, file.bytes):
                raise StorageError(f"{path}: {fault}", advise_repair(self.location))
        return paths

    def check_sizes(self, manifest: StageManifest) -> None:
        """Raise StorageError for a file of a finished stage that is missing or not of its size. Of a run that lies on a
        store nothing is asked: what is fetched is checked then."""
        if not self.mirror:
            self._bring([file for commit in manifest.shards for file in commit.files])

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
        write_atomically(path, content)

    def write_record(self, path: Path, record: Frozen) -> None:
        """Write a file of the ledger, or run.json, with its checksum."""
        self.write(path, encode_record(record))

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
        with hold_folder(self.root, self.location):
            if self.mirror is None:
                yield
            else:
                with hold_lease(self.mirror, owner, lost):
                    yield


def find_size_fault(path: Path, size: int) -> str:
    """What is wrong with a file that should have a size in bytes; empty when nothing is."""
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        return "missing"
    return "" if found == size else f"damaged: {found:,} bytes instead of {size:,}"
