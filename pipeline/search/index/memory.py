"""What an index costs in memory and on disk, told before it is built or opened, and refused when the machine has less.

The figures are estimates on the safe side: the words of a passage are guessed from its bytes.
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

BYTES_A_TERM = 6
"""Text that makes one term: a word and its space; of Chinese, a pair of characters."""
COUNTED_TERM_BYTES = 60
"""Memory that a term of a block takes while the block is counted: its number, its keys, and their sorting."""
RANGE_BYTES = 1 << 30
"""Memory that filling a range of the matrix takes."""
PASSAGE_BYTES = 32
"""Memory that a passage takes while ids are sorted."""
POSTING_BYTES = 8
"""Disk that a posting takes: row and score; while building, as much again for the counted blocks."""
QUERY_BYTES = 16
"""Memory that a passage takes while a query is answered: its score and what is chosen by it."""
FIXED_BYTES = 400 << 20
"""An interpreter with its libraries."""
LINK_BYTES = 400
"""Memory that a passage's links and its place take in an HNSW graph."""
CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a piece of work takes, in bytes."""

    memory: int
    """Held at once, over all processes."""
    disk: int
    """Written, at most; of an index to be opened, what is mapped into memory as far as there is room."""

    def tell(self) -> str:
        """Both, for a person."""
        return f"{self.memory / 1e9:.1f} GB of memory and {self.disk / 1e9:.1f} GB of disk"


def estimate_build(shards: Sequence[Path], block_rows: int, workers: int) -> Needs:
    """What the `passages` and `bm25` parts take while they are built."""
    rows = text = 0
    for path in shards:
        metadata = pq.read_metadata(path)
        rows += metadata.num_rows
        for group in (metadata.row_group(n) for n in range(metadata.num_row_groups)):
            columns = (group.column(n) for n in range(group.num_columns))
            text += sum(c.total_uncompressed_size for c in columns if c.path_in_schema in ("text", "title"))
    return estimate_sizes(rows, text, block_rows, workers)


def estimate_sizes(rows: int, text: int, block_rows: int, workers: int) -> Needs:
    """The same for so many passages with so many bytes of text and titles."""
    terms = text // BYTES_A_TERM
    blocks = max(1, min(workers, -(-rows // block_rows)))
    block = min(rows, block_rows) * (terms // max(rows, 1)) * COUNTED_TERM_BYTES
    filled = min(RANGE_BYTES, terms * 8 * POSTING_BYTES)
    return Needs(
        memory=blocks * (FIXED_BYTES + max(block, filled)) + rows * PASSAGE_BYTES,
        disk=text + rows * PASSAGE_BYTES * 2 + 2 * terms * POSTING_BYTES,
    )


def estimate_dense(passages: int, dimension: int, kind: DenseIndex) -> Needs:
    """What the `dense` part takes while it is built, besides the encoder."""
    vectors = passages * dimension * 4
    graph = passages * (LINK_BYTES + dimension * 2) if kind is DenseIndex.HNSW else 0
    codes = passages * (8 + dimension // 8) if kind is DenseIndex.IVFPQ else 0
    return Needs(memory=FIXED_BYTES + graph + codes + min(vectors, RANGE_BYTES), disk=vectors + graph + codes)


def estimate_open(passages: int, mapped: int) -> Needs:
    """What answering queries takes: memory of its own, and the files mapped, which processes share."""
    return Needs(memory=FIXED_BYTES + passages * QUERY_BYTES, disk=mapped)


def measure_memory() -> int:
    """Bytes of memory that this machine, or the container it is, has."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    said = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return min(whole, int(said)) if said.isdigit() else whole


def check_needs(what: str, needs: Needs, folder: Path | None = None, limit: int | None = None) -> None:
    """Say what something takes. Raises SearchError when that is more memory than there is, or, where `folder` is
    written to, more than the disk has free. `limit`: bytes of memory to count on instead of the machine's own."""
    log.info("%s takes about %s", what, needs.tell())
    memory = measure_memory() if limit is None else limit
    if needs.memory > memory:
        raise SearchError(
            f"{what} takes about {needs.memory / 1e9:.1f} GB of memory, and {memory / 1e9:.1f} GB are there",
            "use fewer workers (execution.workers), or say how much there is: execution.memory_gb",
        )
    if folder is not None and needs.disk > (free := shutil.disk_usage(folder).free):
        raise SearchError(
            f"{what} takes about {needs.disk / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free",
            "free some space, or put the run elsewhere: --out FOLDER",
        )
    if folder is None and needs.memory + needs.disk > memory:
        log.warning("%s does not fit into memory whole: the first queries will wait for the disk", what)
