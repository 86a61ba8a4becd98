"""The texts behind an index: Arrow files, memory-mapped, read a row at a time.

Guarantees: opening reads no text, id or page, so memory stays small and processes share the pages; rows keep their
order; the corpus fingerprint is a hash of the passage ids in that order (ids are hashes of their texts).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage
from pipeline.search.index.page_table import PageTable
from pipeline.search.index.parts import FIX, advise_rebuild, open_part
from schemas.trajectories import HideMode, Hit

KIND = "passages"
HASHES = "id_hashes.npy"
ROWS = "id_rows.npy"
PAGES = "page_ids.npy"
KNOWN_IDS = 1 << 18


def name_part(number: int) -> str:
    """The file name of a block of passages."""
    return f"passages-{number:05}.arrow"


def hash_id(passage_id: str) -> int:
    """64 bits of a passage id, by which its row is found; two ids may share them."""
    return int.from_bytes(hashlib.blake2b(passage_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def join_title(title: str, text: str) -> str:
    """The indexed text of a passage."""
    return f"{title}. {text}"


def read_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches of an Arrow file: views of its memory map, not copies."""
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    return [reader.get_batch(i) for i in range(reader.num_record_batches)]


class PassageStore:
    """Passages by row or by id."""

    def __init__(self, folder: Path) -> None:
        """Open the part at `folder`. Raises SearchError when it is absent or damaged."""
        self.about = open_part(folder, KIND)
        try:
            names = map(name_part, range(len(self.about["counts"])))
            self._batches = [batch for name in names for batch in read_batches(folder / name)]
            self._hashes, self._rows, self.page_ids = (
                np.asarray(np.load(folder / name, mmap_mode="r")) for name in (HASHES, ROWS, PAGES)
            )
            self.pages = PageTable(folder, self.page_ids)
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise SearchError(
                f"the passage texts of the index in {folder} cannot be read: {error}", advise_rebuild(folder.parent)
            ) from error
        self._starts: list[int] = [0, *accumulate(batch.num_rows for batch in self._batches)]
        if not len(self) == len(self._rows) == len(self.page_ids) == self.about["passages"]:
            raise SearchError(
                f"the parts of the index in {folder} disagree on the number of passages", advise_rebuild(folder.parent)
            )
        self.id_at = lru_cache(maxsize=KNOWN_IDS)(self._read_id)

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def corpus(self) -> str:
        """Fingerprint of the passages and their order."""
        return str(self.about["corpus"])

    def find_row(self, passage_id: str) -> int | None:
        """The row of a passage id; None when the store lacks it."""
        key = np.uint64(hash_id(passage_id))
        position = int(np.searchsorted(self._hashes, key))
        while position < len(self) and self._hashes[position] == key:
            row = int(self._rows[position])
            if self.id_at(row) == passage_id:
                return row
            position += 1
        return None

    def hidden_rows(self, hide: HideMode, passage_id: str, page_id: int | None) -> np.ndarray:
        """Rows of the source, as far as it is hidden."""
        if hide is HideMode.NONE:
            return np.zeros(0, dtype=np.int64)
        if hide is HideMode.PAGE and page_id is not None:
            return self.pages.rows_of(page_id)
        row = self.find_row(passage_id)
        return np.array([] if row is None else [row], dtype=np.int64)

    def make_hits(self, rows: np.ndarray, scores: np.ndarray) -> tuple[Hit, ...]:
        """The hits of rows with their scores."""
        return tuple(
            Hit(passage_id=self.id_at(row), score=score)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        )

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages in the given order. Raises SearchError for an unknown id."""
        return [self.read_row(self._require_row(passage_id)) for passage_id in passage_ids]

    def read_row(self, row: int) -> FoundPassage:
        """Read a passage by its row."""
        batch, offset = self._locate(row)
        columns = (column[offset].as_py() for column in self._batches[batch].columns)
        passage_id, page_id, title, text, section, anchors, _ = columns
        places = tuple((anchor["start"], anchor["end"]) for anchor in anchors)
        return FoundPassage(passage_id, title, text, places, page_id, tuple(section))

    def read_texts(self, start: int, end: int) -> Iterator[str]:
        """The indexed texts of a range of rows."""
        while start < end:
            batch, offset = self._locate(start)
            part = self._batches[batch].slice(offset, end - start)
            titles, texts = part.column(2).to_pylist(), part.column(3).to_pylist()
            yield from map(join_title, titles, texts)
            start += part.num_rows

    def _require_row(self, passage_id: str) -> int:
        row = self.find_row(passage_id)
        if row is None:
            raise SearchError(f"passage {passage_id} is not in the index", FIX)
        return row

    def _read_id(self, row: int) -> str:
        batch, offset = self._locate(row)
        return str(self._batches[batch].column(0)[offset].as_py())

    def _locate(self, row: int) -> tuple[int, int]:
        batch = bisect_right(self._starts, row) - 1
        return batch, row - self._starts[batch]


def open_over_passages(index: Path, kind: str) -> tuple[dict[str, Any], PassageStore]:
    """The description of a part of an index, and the passages that it was built from. Raises SearchError."""
    about, store = open_part(index / kind, kind), PassageStore(index / "passages")
    if about["corpus"] != store.corpus:
        raise SearchError(f"the index in {index} was built from other passages", FIX)
    return about, store
