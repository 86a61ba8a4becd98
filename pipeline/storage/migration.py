"""Brings a run's shards to today's schema versions, its books with them.

Promises: a file is replaced whole and its commit after it; killed at any moment and begun again it ends the same; ids
stay, so rows still find each other; a stage that was finished stays finished, and what was made from it still counts as
made from it. Files that are up to date are not touched.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.hashing import hash_file
from pipeline.storage.migrations import MIGRATIONS, Migration, find_chain, migrate_row
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ROWS_PER_GROUP, ShardWriter, reading_boundary
from pipeline.storage.stage_ledger import digest_manifest
from schemas.arrow import arrow_schema
from schemas.ledger import ShardCommit, ShardFile, StageManifest, StageStart
from schemas.record import Record

MARK = "migration.json"
"""In the ledger while files are being replaced: those whose commits may not be theirs any more."""
PREFIX = "rampforge."


@dataclass(frozen=True, slots=True)
class Outdated:
    """A file that is to be written anew."""

    stage: str
    shard: str
    file: ShardFile
    version: int
    says: tuple[str, ...]
    """What changes, step by step; nothing but new columns when there is none."""


def find_outdated(
    run: RunFolder, stages: Sequence[str], models: Mapping[str, type[Record]], known: Sequence[Migration] = MIGRATIONS
) -> list[Outdated]:
    """Every file of the finished shards that is of an older schema. Raises StorageError where there is no way on."""
    replaced = Mark(run).files
    return [
        outdated
        for stage in stages
        for commit in run.commits(stage)
        for file in commit.files
        if (outdated := _look_at(_find(run, commit, file, replaced), commit, file, models[file.dataset], known))
    ]


def _find(run: RunFolder, commit: ShardCommit, file: ShardFile, replaced: Container[str]) -> Path:
    """A file, for reading; one that a migration under way may have replaced is not held against its commit."""
    if _name(file) in replaced:
        return run.fetch(run.dataset(file.dataset) / file.name)
    return run.part(file.dataset, commit.shard, commit.stage)


def _look_at(
    path: Path, commit: ShardCommit, file: ShardFile, model: type[Record], known: Sequence[Migration]
) -> Outdated | None:
    with wrap_os_errors(path), reading_boundary(path):
        schema = pq.read_schema(path)
    version = int((schema.metadata or {}).get(b"rampforge.schema_version", b"1"))
    chain = find_chain(model, version, known)
    if not chain and schema.remove_metadata().equals(arrow_schema(model).remove_metadata()):
        return None
    return Outdated(commit.stage, commit.shard, file, version, tuple(step.says for step in chain))


def migrate_run(
    run: RunFolder, stages: Sequence[str], models: Mapping[str, type[Record]], known: Sequence[Migration] = MIGRATIONS
) -> list[Outdated]:
    """Write what is outdated anew. To be called with the run held.

    Args:
        run: The run.
        stages: The stages of the job, each after those it is made from.
        models: The model of every dataset.
        known: The steps there are.

    Returns what was outdated. Raises StorageError for a row that cannot be migrated: its file stays as it was.
    """
    outdated = find_outdated(run, stages, models, known)
    mark = Mark(run)
    if not outdated and not mark.files:
        return []
    mark.files |= {_name(item.file) for item in outdated}
    mark.write()
    for item in outdated:
        _rewrite(run, item, models[item.file.dataset], known)
    _mend_books(run, stages, mark)
    mark.remove()
    return outdated


class Mark:
    """What a migration under way must know when it is begun again."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._path = run.root / "ledger" / MARK
        found = json.loads(self._path.read_bytes()) if run.fetch(self._path).exists() else {}
        self.files = set(found.get("files", ()))
        """Files whose commits may still tell of what they were."""
        self.renamed: dict[str, str] = found.get("renamed", {})
        """New digests of finished stages, by their old ones."""

    def write(self) -> None:
        """Put it on the disk."""
        self._run.write(self._path, json.dumps({"files": sorted(self.files), "renamed": self.renamed}).encode())

    def remove(self) -> None:
        """All is done."""
        self._run.remove([self._path])


def _name(file: ShardFile) -> str:
    return f"{file.dataset}/{file.name}"


def _rewrite(run: RunFolder, item: Outdated, model: type[Record], known: Sequence[Migration]) -> None:
    path = run.dataset(item.file.dataset) / item.file.name
    chain = find_chain(model, item.version, known)
    with wrap_os_errors(path), pq.ParquetFile(path) as old:
        facts = {
            key.decode().removeprefix(PREFIX): value.decode()
            for key, value in (old.schema_arrow.metadata or {}).items()
            if key.startswith(PREFIX.encode()) and key.decode() not in arrow_schema(model).metadata
        }
        facts = {key: value for key, value in facts.items() if key not in ("dataset", "schema_version")}
        provenance = facts | {"migrated_from": str(item.version)}
        with ShardWriter(path.parent, path.name, model, provenance) as writer:
            for row in _read(old):
                try:
                    writer.append(migrate_row(model, row, chain))
                except ValueError as error:
                    problem = " ".join(str(error).split())[:200]
                    raise StorageError(f"{path}: a row cannot be migrated: {problem}", "make the stage again") from None
            writer.close()
    run.publish(path)


def _read(file: pq.ParquetFile) -> Iterator[dict[str, object]]:
    for batch in file.iter_batches(ROWS_PER_GROUP):
        yield from batch.to_pylist()


def _mend_books(run: RunFolder, stages: Iterable[str], mark: Mark) -> None:
    """Make commits, manifests and what names them by digest tell of the files as they are now."""
    for stage in stages:
        for commit in list(run.commits(stage)):
            files = tuple(_measure(run, file) if _name(file) in mark.files else file for file in commit.files)
            if files != commit.files:
                path = run.commit_path(stage, commit.shard)
                run.write_record(path, commit.model_copy(update={"files": files}))
        _mend_stage(run, stage, mark)
    record = run.find_record()
    if record is not None:
        fingerprints = {name: mark.renamed.get(digest, digest) for name, digest in record.fingerprints.items()}
        run.write_record(run.root / "run.json", record.model_copy(update={"fingerprints": fingerprints}))


def _measure(run: RunFolder, file: ShardFile) -> ShardFile:
    path = run.dataset(file.dataset) / file.name
    return file.model_copy(update={"bytes": path.stat().st_size, "sha256": hash_file(path)})


def _mend_stage(run: RunFolder, stage: str, mark: Mark) -> None:
    """Put new digests for old ones into a stage's books, and note its own."""
    opened, closed = run.ledger(stage) / "stage.json", run.ledger(stage) / "manifest.json"
    started = run.find_start(stage)
    if started is None:
        return
    mended = _put_digests(started, mark.renamed)
    if mended != started:
        run.write_record(opened, mended)
    manifest = run.find_manifest(stage)
    if manifest is None:
        return
    now = StageManifest(
        stage=stage,
        settings=mended.settings,
        upstream=mended.upstream,
        shards=tuple(run.commits(stage)),
        files=manifest.files,
    )
    if now != manifest:
        mark.renamed[digest_manifest(manifest)] = digest_manifest(now)
        mark.write()  # before the old digest is gone: what is made from it must still be found by it
        run.write_record(closed, now)


def _put_digests(started: StageStart, renamed: Mapping[str, str]) -> StageStart:
    text = started.model_dump_json()
    for old, new in renamed.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    return StageStart.model_validate_json(text)
