"""Memory and disk that an index needs: estimated before it is built or opened, and refused on a smaller machine.

The estimates are conservative: the number of terms of a passage is derived from its bytes.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.errors import SearchError
from schemas.search_config import DenseIndex

log = logging.getLogger(__name__)

TERM_BYTES = 6
"""Text per term: a word and its space; of Chinese, a pair of characters."""
COUNTED_TERM_BYTES = 60
"""Memory per term while a block is counted: its number, its keys, and their sorting."""
RANGE_BYTES = 1 << 30
"""Memory for filling a range of the matrix."""
PASSAGE_BYTES = 32
"""Memory per passage while ids are sorted."""
POSTING_BYTES = 8
"""Disk per posting: row and score; while building, as much again for the counted blocks."""
QUERY_BYTES = 16
"""Memory per passage while a query is answered: its score and the selection."""
FIXED_BYTES = 400 << 20
"""Memory of an interpreter with its libraries."""
LINK_BYTES = 400
"""Memory per passage for its node and links in an HNSW graph."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that a task needs."""

    memory: int
    """At the same time, over all processes."""
    disk: int
    """Written, at most; of an index to be opened, mapped into memory as far as it fits."""

    def __str__(self) -> str:
        return f"{self.memory / 1e9:.1f} GB of memory and {self.disk / 1e9:.1f} GB of disk"


def estimate_build(shards: Sequence[Path], block_rows: int, workers: int) -> Needs:
    """Needs of building the `passages` and `bm25` parts."""
    rows = text = 0
    for path in shards:
        metadata = pq.read_metadata(path)
        rows += metadata.num_rows
        for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
            columns = (group.column(n) for n in range(group.num_columns))
            text += sum(c.total_uncompressed_size for c in columns if c.path_in_schema in ("text", "title"))
    return estimate_sizes(rows, text, block_rows, workers)


def estimate_sizes(rows: int, text: int, block_rows: int, workers: int) -> Needs:
    """The same by the number of passages, and the bytes of their texts and titles."""
    terms = text // TERM_BYTES
    blocks = max(1, min(workers, -(-rows // block_rows)))
    block = min(rows, block_rows) * (terms // max(rows, 1)) * COUNTED_TERM_BYTES
    filled = min(RANGE_BYTES, terms * 8 * POSTING_BYTES)
    return Needs(
        memory=blocks * (FIXED_BYTES + max(block, filled)) + rows * PASSAGE_BYTES,
        disk=text + rows * PASSAGE_BYTES * 2 + 2 * terms * POSTING_BYTES,
    )


def estimate_dense(passages: int, dimension: int, kind: DenseIndex) -> Needs:
    """Needs of building the `dense` part, without the encoder."""
    vectors = passages * dimension * 4
    graph = passages * (LINK_BYTES + dimension * 2) if kind is DenseIndex.HNSW else 0
    codes = passages * (8 + dimension // 8) if kind is DenseIndex.IVFPQ else 0
    return Needs(memory=FIXED_BYTES + graph + codes + min(vectors, RANGE_BYTES), disk=vectors + graph + codes)


def estimate_open(passages: int, mapped: int) -> Needs:
    """Needs of answering queries. `mapped`: bytes of the mapped files, which processes share."""
    return Needs(memory=FIXED_BYTES + passages * QUERY_BYTES, disk=mapped)


def measure_memory() -> int:
    """Bytes of memory of this machine, or of the container."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return min(physical, int(limit)) if limit.isdigit() else physical


def check_needs(what: str, needs: Needs, folder: Path | None = None, limit: int | None = None) -> None:
    """Log what a task needs. Raises SearchError when that is more than the memory, or than the free disk space of
    `folder`, which the task writes to. `limit`: bytes of memory in place of the machine's."""
    log.info("%s takes about %s", what, needs)
    memory = measure_memory() if limit is None else limit
    if needs.memory > memory:
        raise SearchError(
            f"{what} takes about {needs.memory / 1e9:.1f} GB of memory, and {memory / 1e9:.1f} GB are there",
            "use fewer workers (execution.workers), or set the memory that is there: execution.memory_gb",
        )
    if folder is not None and needs.disk > (free := shutil.disk_usage(folder).free):
        raise SearchError(
            f"{what} takes about {needs.disk / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free",
            "free some space, or put the run elsewhere: --out FOLDER",
        )
    if folder is None and needs.memory + needs.disk > memory:
        log.warning("%s does not fit into memory: the first queries will wait for the disk", what)
