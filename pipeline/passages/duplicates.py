"""Detection of near-duplicate passages over all shards of a corpus, in constant memory (DuckDB spills to disk).

A passage is a duplicate of the earliest passage that shares a band of minima with it and whose estimated Jaccard
similarity reaches the threshold. Earliest means the lowest (page id, offset): an order of content, so that the result
does not depend on the sharding of the corpus; among pages with the same id, which occur only in a source with
duplicates, the first in the source. A passage whose id is in several shards is kept in the first of them by name.

Bands shared by very many passages (text written by bots) would make the work quadratic: there, passages are compared
with the earliest `HEADS` of the band only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb.func import ARROW

from pipeline.errors import StorageError

HEADS = 64
BATCH = 10_000
CHANCE = 1 / 256  # probability that two unequal minima agree in their lowest byte

SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("passage_id", pa.string()),
        ("duplicate_of", pa.string()),
        ("similarity", pa.float64()),
    ]
)

# Passages with one signature are grouped with the first of them, so that copies cost nothing in later steps.
NUMBER_PASSAGES = """
create table numbered as
select row_number() over (order by page_id, start, position) as place, * from (
    select passage_id, any_value(page_id) as page_id, any_value(start) as start, any_value(signature) as signature,
           min((shard, row)) as position
    from source group by passage_id
)
"""
GROUP_COPIES = """
create table grouped as
select place, passage_id, signature, min(place) over (partition by signature) as head from numbered
"""
LIST_BANDS = """
create table members as
select band, place, row_number() over (partition by band order by place) as rank
from (select distinct g.place, unnest(s.bands) as band
      from grouped g join source s using (passage_id) where g.place = g.head)
qualify count(*) over (partition by band) > 1
"""
COMPARE = """
create table pairs as
select later, earlier, similarity from (
    select p.later, p.earlier, estimate_similarity(a.signature, b.signature) as similarity
    from (select distinct m.place as later, h.place as earlier
          from members m join members h on m.band = h.band and h.place < m.place
          where h.rank <= $heads) p
    join grouped a on a.place = p.later
    join grouped b on b.place = p.earlier
) where similarity >= $threshold
"""
CHOOSE_EARLIEST = """
create table chosen as
select later, min(earlier) as earlier, arg_min(similarity, earlier) as similarity from pairs group by later
"""
LIST_DUPLICATES = """
select s.shard, s.passage_id, coalesce(e.passage_id, s.passage_id) as duplicate_of,
       coalesce(d.similarity, 1.0) as similarity
from (select shard, passage_id, row_number() over (partition by passage_id order by shard) as copy from source) s
join grouped g using (passage_id)
left join (
    select g.place, coalesce(c.earlier, g.head) as earlier, coalesce(c.similarity, 1.0) as similarity
    from grouped g left join chosen c on c.later = g.head
    where c.earlier is not null or g.place <> g.head
) d on d.place = g.place
left join grouped e on e.place = d.earlier
where s.copy > 1 or d.place is not null
order by s.shard, s.passage_id
"""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Reason for dropping a passage."""

    duplicate_of: str
    """Earlier passage; the passage itself when an earlier shard contains it too."""
    similarity: float
    """Estimated Jaccard similarity of the two."""


def find_duplicates(
    chunk_files: Sequence[Path], threshold: float, target: Path, scratch: Path, memory_mb: int = 1024, threads: int = 1
) -> int:
    """Write the near-duplicates among the passages of some shards of chunks into one Parquet file, sorted by shard.

    `scratch` is an existing folder for data that exceeds memory; it is left empty. Returns the number of duplicates.
    Raises StorageError when the disk is full or a shard is not readable.
    """
    database = scratch / "duplicates.duckdb"
    temporary = scratch / "duplicates.parquet"
    try:
        with duckdb.connect(str(database)) as connection:
            connection.execute(f"set memory_limit = '{memory_mb}MB'")
            connection.execute(f"set threads = {threads}")
            connection.execute("set preserve_insertion_order = false")
            connection.execute("set enable_progress_bar = false")
            found = _write_duplicates(connection, chunk_files, threshold, temporary)
        temporary.replace(target)
    except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
        raise StorageError(
            f"cannot look for duplicates in {scratch}: {str(error).splitlines()[0]}", "free disk space there and resume"
        ) from error
    finally:
        for leftover in (database, database.with_suffix(".duckdb.wal"), temporary):
            leftover.unlink(missing_ok=True)
    return found


def read_duplicates(path: Path, shard: str) -> dict[str, Duplicate]:
    """Read the duplicates of one shard of chunks, by passage id. `shard` is the chunk file's name."""
    table = pq.read_table(path, schema=SCHEMA, filters=[("shard", "=", shard)])
    return {row["passage_id"]: Duplicate(row["duplicate_of"], row["similarity"]) for row in table.to_pylist()}


def _write_duplicates(
    connection: duckdb.DuckDBPyConnection, chunk_files: Sequence[Path], threshold: float, target: Path
) -> int:
    connection.create_function(
        "estimate_similarity", _estimate_similarity, ["VARCHAR", "VARCHAR"], "DOUBLE", type=ARROW
    )
    rows = 0
    with pq.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        if not chunk_files:
            return 0
        _open_source(connection, chunk_files)
        for step in (NUMBER_PASSAGES, GROUP_COPIES, LIST_BANDS):
            connection.execute(step)
        connection.execute(COMPARE, {"heads": HEADS, "threshold": threshold})
        connection.execute(CHOOSE_EARLIEST)
        listed = connection.execute(LIST_DUPLICATES)
        while batch := listed.fetchmany(BATCH):
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*batch, strict=True), SCHEMA, strict=True)
            ]
            writer.write_table(pa.table(columns, schema=SCHEMA))
            rows += len(batch)
    return rows


def _open_source(connection: duckdb.DuckDBPyConnection, chunk_files: Sequence[Path]) -> None:
    files = [str(path) for path in chunk_files]
    connection.read_parquet(files, filename=True, file_row_number=True).create_view("chunks")
    connection.execute(
        "create view source as select parse_filename(filename) as shard, file_row_number as row, passage_id, "
        "passage.page_id as page_id, "
        "passage.start as start, signature, bands from chunks"
    )


def _estimate_similarity(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.Array:
    """Estimate the Jaccard similarity of pairs of signatures, from the share of equal bytes (b-bit minwise hashing, b =
    8).
    """
    ours, theirs = (np.frombuffer("".join(side.to_pylist()).encode(), np.uint16) for side in (left, right))
    agree = (ours == theirs).reshape(len(left), -1).mean(axis=1)
    return pa.array(np.clip((agree - CHANCE) / (1 - CHANCE), 0.0, 1.0))
