"""Distinct ids for exact duplicates of earlier pages (same id, title and text).

A document's id is a hash of its content, so that duplicates share it. The first keeps it; each later one gets the hash
of that id and of its position (shard and row). Guarantees: constant memory (DuckDB spills to disk); shards without
duplicates are not modified; killed at any time and started again the result is the same, because a shard whose commit
was removed is cleaned again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pipeline.errors import StorageError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter, read_rows
from schemas.documents import Document
from schemas.ledger import ShardCommit
from schemas.record import content_id

LIST_REPEATS = """
create table repeats as
select parse_filename(filename) as file, file_row_number as row from (
    select *, row_number() over (partition by document_id order by filename, file_row_number) as copy
    from documents where document_id in (select document_id from documents group by document_id having count(*) > 1)
) where copy > 1
"""
PREFIX = "rampforge."


def separate_repeats(run: RunFolder, stage: str, memory_mb: int = 1024) -> int:
    """Give each duplicated document of a stage, all shards of which are committed, an id of its own; return their
    number.

    Raises StorageError when the disk is full.
    """
    files = run.files(Document.dataset)
    if not files:
        return 0
    count = 0
    commits = {commit.shard: commit for commit in run.commits(stage)}
    named = {run.shard(Document.dataset, shard, stage).name: commit for shard, commit in commits.items()}
    with tempfile.TemporaryDirectory(dir=run.root, prefix=".repeats-") as scratch:
        for name, rows in _find_repeats(files, Path(scratch), memory_mb):
            _rename(run, named[name], rows)
            count += len(rows)
    return count


def _find_repeats(files: list[Path], scratch: Path, memory_mb: int) -> Iterator[tuple[str, frozenset[int]]]:
    """Yield, by file name in order, the rows that duplicate an earlier document."""
    try:
        with duckdb.connect(str(scratch / "repeats.duckdb")) as connection:
            connection.execute(f"set memory_limit = '{memory_mb}MB'")
            connection.execute("set threads = 1")
            connection.execute("set enable_progress_bar = false")
            connection.read_parquet([str(path) for path in files], filename=True, file_row_number=True).create_view(
                "documents"
            )
            connection.execute(LIST_REPEATS)
            names = connection.execute("select distinct file from repeats order by file").fetchall()
            for (name,) in names:
                rows = connection.execute("select row from repeats where file = ?", [name]).fetchall()
                yield name, frozenset(row for (row,) in rows)
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        what = f"cannot look for repeated documents in {scratch}: {str(error).splitlines()[0]}"
        raise StorageError(what, "free disk space there and resume") from error


def _rename(run: RunFolder, commit: ShardCommit, rows: frozenset[int]) -> None:
    """Rewrite a shard of documents. Until its new commit is written, the shard does not exist."""
    path = run.shard(Document.dataset, commit.shard, commit.stage)
    metadata = pq.read_schema(path).metadata or {}
    facts = {key.decode(): value.decode() for key, value in metadata.items() if key.startswith(PREFIX.encode())}
    facts = {key.removeprefix(PREFIX): value for key, value in facts.items()}
    provenance = {key: value for key, value in facts.items() if key not in ("dataset", "schema_version")}
    run.remove([run.commit_path(commit.stage, commit.shard)])
    with ShardWriter(path.parent, path.name, Document, provenance) as writer:
        for number, document in enumerate(read_rows(path, Document)):
            values = document.model_dump(mode="json")
            if number in rows:
                values["document_id"] = content_id(document.document_id, commit.shard, number)
            writer.append(values)
        written = writer.close()
    files = tuple(written if file.dataset == Document.dataset else file for file in commit.files)
    run.commit(commit.model_copy(update={"files": files}))
