"""Builds the `passages` part of an index from Parquet shards: Arrow files of some ten thousand passages each.

Guarantees: memory does not grow with the corpus but for 48 bytes per passage at the end; the bytes do not depend on the
number of processes, nor on how often the build was killed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.search.index.page_table import TitleRows
from pipeline.search.index.parts import RunBlocks, finish_part, nothing_to_index, open_part, start_part
from pipeline.search.index.passage_store import HASHES, KIND, PAGES, ROWS, hash_id, name_part, read_batches
from pipeline.storage.files import replace_atomically, temporary_name
from pipeline.storage.hashing import hash_file

BLOCK_ROWS = 65_536
BATCH_ROWS = 4_096
COLUMNS = ["passage_id", "page_id", "title", "section", "text", "links"]
ANCHOR = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32())])
SCHEMA = pa.schema(
    [
        ("passage_id", pa.string()), ("page_id", pa.int64()), ("title", pa.string()), ("text", pa.string()),
        ("section", pa.list_(pa.string())), ("anchors", pa.list_(ANCHOR)), ("id_hash", pa.uint64()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreBlock:
    """Row groups that become one file of the store."""

    number: int
    row_groups: tuple[tuple[Path, int], ...]
    """Parquet file and number of the row group, in order."""


def build_store(
    shards: Sequence[Path], folder: Path, run_blocks: RunBlocks = map, block_rows: int = BLOCK_ROWS
) -> dict[str, Any]:
    """Build the part at `folder` from Parquet files with the columns `COLUMNS`, in their order; its description.

    Raises SearchError when there is no passage.
    """
    sources = [[path.name, hash_file(path)] for path in shards]
    building, done = start_part(folder, {"kind": KIND, "sources": sources, "block_rows": block_rows})
    if not done:
        blocks = plan_blocks(shards, block_rows)
        counts = list(run_blocks(partial(write_block, building), blocks))
        if not sum(counts):
            raise nothing_to_index()
        finish_part(building, folder, {"kind": KIND, "counts": counts, **_write_ids(building, len(blocks))})
    return open_part(folder, KIND)


def plan_blocks(shards: Sequence[Path], block_rows: int) -> list[StoreBlock]:
    """Row groups in order, gathered into blocks of at least `block_rows` rows (the last may have fewer)."""
    blocks: list[StoreBlock] = []
    row_groups: list[tuple[Path, int]] = []
    rows = 0
    for path in shards:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            row_groups.append((path, group))
            rows += metadata.row_group(group).num_rows
            if rows >= block_rows:
                blocks.append(StoreBlock(len(blocks), tuple(row_groups)))
                row_groups, rows = [], 0
    return [*blocks, StoreBlock(len(blocks), tuple(row_groups))] if row_groups else blocks


def write_block(building: Path, block: StoreBlock) -> int:
    """Write one file of the store unless it exists; the number of its passages."""
    path = building / name_part(block.number)
    if not path.exists():
        temporary = temporary_name(path)
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for batch in _read_block(block):
                writer.write_batch(_reshape(batch))
        replace_atomically(temporary, path)
    return sum(batch.num_rows for batch in read_batches(path))


def _read_block(block: StoreBlock) -> Iterator[pa.RecordBatch]:
    for path, group in block.row_groups:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(BATCH_ROWS, row_groups=[group], columns=COLUMNS)


def _reshape(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = {name: batch.column(name).to_pylist() for name in COLUMNS}
    columns["anchors"] = [[{"start": x["start"], "end": x["end"]} for x in xs] for xs in columns.pop("links")]
    columns["id_hash"] = [hash_id(passage_id) for passage_id in columns["passage_id"]]
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def _write_ids(building: Path, parts: int) -> dict[str, Any]:
    """Write page ids by row, rows by id hash and the page table; the number of passages and the fingerprint of the
    corpus."""
    digest = hashlib.blake2b(digest_size=10)
    hashes: list[np.ndarray] = []
    pages: list[np.ndarray] = []
    titles = TitleRows()
    for number in range(parts):
        for batch in read_batches(building / name_part(number)):
            digest.update("".join(f"{passage_id}\n" for passage_id in batch.column(0).to_pylist()).encode())
            pages.append(batch.column(1).to_numpy(zero_copy_only=False))
            titles.add(pages[-1].tolist(), batch.column(2).to_pylist())
            hashes.append(batch.column(6).to_numpy())
    joined = np.concatenate(hashes)
    order = np.argsort(joined, kind="stable")  # stable: of equal ids, the earlier row
    np.save(building / HASHES, joined[order])
    np.save(building / ROWS, order.astype(np.int64))
    page_ids = np.concatenate(pages)
    np.save(building / PAGES, page_ids)
    titles.write(building, page_ids)
    return {"passages": len(joined), "corpus": digest.hexdigest()}
