"""Import of foreign rows into a run folder: tasks and trajectories, with ledgers that say where they come from.

Guarantees: each row is a trajectory, a task alone, or a reject with its reason; an id has one task, that of its first
row; a task stands in one shard, beside all of its trajectories; the same files make the same shards; memory does not
grow with the rows, but for some tens of bytes for each. The run has no corpus: it can be inspected, judged, exported
and reported, and not resumed from a source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from flows.configuration.cache import cache_folder
from flows.configuration.provenance import rampforge_version
from flows.configuration.run_context import RunContext
from flows.configuration.source_ledger import look_at_sources, write_source_records
from flows.stages.inputs import IMPORT
from flows.stages.run_record import write_record
from pipeline.errors import ConfigError, SourceError
from pipeline.importing.errors import RowError
from pipeline.importing.reading import detect_format, read_attempt, read_rows, serialise_row
from pipeline.importing.records import make_task, make_trajectory
from pipeline.storage.hashing import hash_file
from pipeline.storage.new_folder import build_folder
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from pipeline.storage.stage_ledger import close_stage, digest_manifest, open_stage
from schemas.config import CorpusConfig, RunConfig, StageName
from schemas.funnel import FunnelStep, Reject
from schemas.imports import ImportFormat
from schemas.ledger import ShardCommit, ShardFile
from schemas.masking_config import MaskingConfig
from schemas.record import content_id
from schemas.tasks import MaskTask
from schemas.trajectories import SEARCH, Trajectory

SHARD_BYTES = 1 << 27
MOST_SHARDS = 64
REPEATED, OTHER_TASK = "repeated", "other_task"
ROW = "row"


@dataclass(frozen=True, slots=True)
class Imported:
    """Outcome of an import."""

    run: RunFolder
    formats: tuple[ImportFormat, ...]
    """Format of each file."""
    tasks: int
    trajectories: int
    other_tools: int
    """Trajectories that called other tools than a search, which exports leave out."""
    funnel: FunnelStep
    """Totals of the rows."""


def import_rows(files: Sequence[Path], out: Path, format_: ImportFormat | None = None) -> Imported:
    """Import rows into a new run. `format_`: that of all files; None to detect it.

    Raises ConfigError for a folder that is not empty, SourceError for a file that is not rows, StorageError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists, and is not empty", "--out OTHER")
    if wrong := next((file for file in files if not file.is_file()), None):
        raise SourceError(f"{wrong} is not a file", "name files of rows: .jsonl, .json or .parquet")
    formats = tuple(format_ or detect_format(file) for file in files)
    records = [
        record.model_copy(update={"sha256": hash_file(file)})
        for record, file in zip(look_at_sources([str(file) for file in files]), files, strict=True)
    ]
    settings = {IMPORT: ", ".join(dict.fromkeys(formats))} | {
        f"{IMPORT} {record.name}": str(record.sha256) for record in records
    }
    with build_folder(out) as folder:
        run = RunFolder(folder)
        write_source_records(run, records)
        work = _RunWriter(run, settings, _count_shards(files))
        work.write(files, formats)
        context = RunContext(run, _configure(), cache_folder())
        write_record(context, ())
    return Imported(RunFolder(out), formats, work.tasks, work.trajectories, work.other_tools, work.total)


def _configure() -> RunConfig:
    """Return the configuration of a run whose tasks and trajectories were not made here."""
    masking = MaskingConfig(ner=None, scorer=None, links=False, rules=False)
    return RunConfig(corpus=CorpusConfig(), masking=masking)


def _count_shards(files: Sequence[Path]) -> int:
    return max(1, min(MOST_SHARDS, sum(file.stat().st_size for file in files) // SHARD_BYTES))


@dataclass(slots=True)
class _Shard:
    """Shard being written."""

    tasks: ShardWriter
    trajectories: ShardWriter
    rejects: ShardWriter
    attempts: Counter[str] = field(default_factory=Counter)
    """Trajectories of each task."""
    digests: dict[str, int] = field(default_factory=dict)
    """Digest of each task, by its id."""
    passed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


class _RunWriter:
    def __init__(self, run: RunFolder, settings: dict[str, str], shards: int) -> None:
        self.run, self._settings = run, settings
        self._names = [f"000-{number:05d}" for number in range(shards)]
        self._versions = {"rampforge": rampforge_version()}
        self._seen: set[int] = set()
        self.tasks = self.trajectories = self.other_tools = 0
        self.total = FunnelStep.count(StageName.TASKS, ROW, 0, {})

    def write(self, files: Sequence[Path], formats: Sequence[ImportFormat]) -> None:
        """Write all rows, and the ledgers."""
        open_stage(self.run, StageName.TASKS, self._settings, None, self._versions)
        with ExitStack() as stack:
            shards = [self._open(name, stack) for name in self._names]
            for file, format_ in zip(files, formats, strict=True):
                for number, row in enumerate(read_rows(file)):
                    self._take(shards, row, format_, f"{file.name}:{number}")
            self._commit(shards)

    def _open(self, name: str, stack: ExitStack) -> _Shard:
        facts = {"stage": IMPORT, "shard": name, **self._settings}

        def open_one(model: type[MaskTask] | type[Trajectory] | type[Reject]) -> ShardWriter:
            path = self.run.shard(model.dataset, name, StageName.TASKS)
            return stack.enter_context(ShardWriter(path.parent, path.name, model, facts))

        return _Shard(open_one(MaskTask), open_one(Trajectory), open_one(Reject))

    def _take(self, shards: Sequence[_Shard], row: object, format_: ImportFormat, place: str) -> None:
        """Write the records of a row, or its reject."""
        shard = shards[0]
        try:
            attempt = read_attempt(row, format_)
            task = make_task(attempt)
            shard = shards[hash_key(task.task_id) % len(shards)]
            digest = hash_key(task.model_dump_json())
            if shard.digests.get(task.task_id, digest) != digest:
                raise RowError(OTHER_TASK, f"another row has the id {task.task_id} for another task")
            trajectory = None
            if attempt.dialogue is not None:
                identity = content_id(serialise_row(row))
                trajectory = make_trajectory(task, attempt, identity, shard.attempts[task.task_id])
            self._remember(trajectory.trajectory_id if trajectory else f"task {task.task_id}")
        except RowError as error:
            shard.reasons[error.reason] += 1
            reject = Reject(stage=StageName.TASKS, unit=ROW, input_id=place, reason=error.reason, detail=error.detail)
            shard.rejects.append(reject.model_dump(mode="json"))
            return
        shard.passed += 1
        if task.task_id not in shard.digests:
            self.tasks += 1
            shard.digests[task.task_id] = digest
            shard.tasks.append(task.model_dump(mode="json"))
        if trajectory:
            self.trajectories += 1
            self.other_tools += any(call.tool != SEARCH for turn in trajectory.turns for call in turn.calls)
            shard.attempts[task.task_id] += 1
            shard.trajectories.append(trajectory.model_dump(mode="json"))

    def _remember(self, key: str) -> None:
        """Raise RowError for a trajectory, or a task alone, that was there before."""
        number = hash_key(key)
        if number in self._seen:
            raise RowError(REPEATED, key)
        self._seen.add(number)

    def _commit(self, shards: Sequence[_Shard]) -> None:
        files = [(shard.tasks.close(), shard.rejects.close(), shard.trajectories.close()) for shard in shards]
        for name, shard, (tasks, rejects, _) in zip(self._names, shards, files, strict=True):
            step = FunnelStep.count(StageName.TASKS, ROW, shard.passed, dict(sorted(shard.reasons.items())))
            self.total = self.total + step
            self.run.commit(self._describe(StageName.TASKS, name, step, (tasks, rejects)))
        manifest = close_stage(self.run, StageName.TASKS, self._names)
        upstream = digest_manifest(manifest)
        open_stage(self.run, StageName.TRAJECTORIES, self._settings, upstream, self._versions)
        for name, (_, _, trajectories) in zip(self._names, files, strict=True):
            step = FunnelStep.count(StageName.TRAJECTORIES, "trajectory", trajectories.rows, {})
            self.run.commit(self._describe(StageName.TRAJECTORIES, name, step, (trajectories,)))
        close_stage(self.run, StageName.TRAJECTORIES, self._names)

    def _describe(self, stage: StageName, name: str, step: FunnelStep, files: tuple[ShardFile, ...]) -> ShardCommit:
        return ShardCommit(
            stage=stage, shard=name, inputs=step.entered, files=files, funnel=(step,), versions=self._versions
        )


def hash_key(key: str) -> int:
    """Return a number that two keys have in common only by chance."""
    return int(content_id(key)[:16], 16)
