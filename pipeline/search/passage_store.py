"""The texts behind an index: one Arrow file, memory-mapped, read a row at a time.

Promises: opening reads no text, so memory stays small and processes share the pages; rows keep the order they were
written in; the corpus fingerprint is a hash of the passage ids in that order (ids hash the text they stand for).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage

TEXTS = "passages.arrow"
ORDER = "id_order.npy"
COLUMNS = ["passage_id", "page_id", "title", "text", "links"]


def read_shards(shards: Iterable[str | Path]) -> Iterator[pa.RecordBatch]:
    """Read the columns of passages that an index needs, batch by batch, from Parquet files."""
    for shard in shards:
        yield from pq.ParquetFile(str(shard)).iter_batches(batch_size=4096, columns=COLUMNS)


def write_store(batches: Iterable[pa.RecordBatch], folder: Path, see: Callable[[str, str], None]) -> tuple[int, str]:
    """Write the store into the folder, handing each row's title and text to `see`; return row count and fingerprint."""
    digest = hashlib.blake2b(digest_size=10)
    ids: list[str] = []
    anchor = pa.struct([pa.field("start", pa.int32()), pa.field("end", pa.int32())])
    texts = [("passage_id", pa.string()), ("page_id", pa.int64()), ("title", pa.string()), ("text", pa.string())]
    schema = pa.schema([*texts, ("anchors", pa.list_(anchor))])
    with pa.OSFile(str(folder / TEXTS), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for batch in batches:
            columns = {name: batch.column(name).to_pylist() for name in COLUMNS}
            columns["anchors"] = [[{"start": x["start"], "end": x["end"]} for x in xs] for xs in columns.pop("links")]
            writer.write_batch(pa.RecordBatch.from_pydict(columns, schema=schema))
            for passage_id, title, text in zip(columns["passage_id"], columns["title"], columns["text"], strict=True):
                ids.append(passage_id)
                digest.update(passage_id.encode() + b"\n")
                see(title, text)
    np.save(folder / ORDER, np.argsort(np.array(ids, dtype=object), kind="stable").astype(np.int64))
    return len(ids), digest.hexdigest()


class PassageStore:
    """Passages by row or by id."""

    def __init__(self, folder: Path) -> None:
        try:
            # from_batches does not copy: columns stay views of the memory map.
            reader = pa.ipc.open_file(pa.memory_map(str(folder / TEXTS)))
            self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            self._order = np.load(folder / ORDER, mmap_mode="r")
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise SearchError(f"the passage texts of the index in {folder} cannot be read: {error}", FIX) from error
        self._starts = np.cumsum([0] + [b.num_rows for b in self._batches])
        self.page_ids: np.ndarray = np.concatenate(
            [b.column(1).to_numpy(zero_copy_only=False) for b in self._batches] or [np.zeros(0, np.int64)]
        )
        if len(self) != len(self._order):
            raise SearchError(f"the index in {folder} has {len(self)} texts but {len(self._order)} ids", FIX)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def id_at(self, row: int) -> str:
        """The passage id of a row."""
        batch, offset = self._locate(row)
        return str(self._batches[batch].column(0)[offset].as_py())

    def find_row(self, passage_id: str) -> int | None:
        """The row of a passage id, by bisection; None when the store lacks it."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.id_at(int(self._order[middle])) < passage_id:
                low = middle + 1
            else:
                high = middle
        if low < len(self) and self.id_at(row := int(self._order[low])) == passage_id:
            return row
        return None

    def rows_of_page(self, page_id: int) -> np.ndarray:
        """Every row of a page."""
        return np.flatnonzero(self.page_ids == page_id)

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages in the order asked. Raises SearchError for an id that the store lacks."""
        return [self._read_row(self._require_row(passage_id)) for passage_id in passage_ids]

    def _require_row(self, passage_id: str) -> int:
        row = self.find_row(passage_id)
        if row is None:
            raise SearchError(f"passage {passage_id} is not in the index", FIX)
        return row

    def _read_row(self, row: int) -> FoundPassage:
        batch, offset = self._locate(row)
        passage_id, _, title, text, anchors = (column[offset].as_py() for column in self._batches[batch].columns)
        return FoundPassage(passage_id, title, text, tuple((a["start"], a["end"]) for a in anchors))

    def _locate(self, row: int) -> tuple[int, int]:
        batch = int(np.searchsorted(self._starts, row, side="right")) - 1
        return batch, row - int(self._starts[batch])


FIX = "build it again: rampforge index"
