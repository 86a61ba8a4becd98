"""The texts behind an index: Arrow files, memory-mapped, read a row at a time.

Promises: opening reads no text, no id and no page, so memory stays small and processes share the pages; rows keep the
order they were written in; the corpus fingerprint is a hash of the passage ids in that order (ids hash the text they
stand for).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import SearchError
from pipeline.search.engine import FoundPassage, SearchRequest
from pipeline.search.index.parts import FIX, advise_rebuild, open_part
from schemas.trajectories import HideMode

KIND = "passages"
HASHES = "id_hashes.npy"
ROWS = "id_rows.npy"
PAGES = "page_ids.npy"
KNOWN_IDS = 1 << 18


def name_part(number: int) -> str:
    """The file name of a block of passages."""
    return f"passages-{number:05}.arrow"


def hash_id(passage_id: str) -> int:
    """A passage id as 64 bits, by which its row is found; two ids may share them."""
    return int.from_bytes(hashlib.blake2b(passage_id.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def join_title(title: str, text: str) -> str:
    """What of a passage is searched."""
    return f"{title}. {text}"


class PassageStore:
    """Passages by row or by id."""

    def __init__(self, folder: Path) -> None:
        """Open the part at `folder`. Raises SearchError when it is absent or damaged."""
        self.about = open_part(folder, KIND)
        try:
            # From a memory map batches are views, not copies.
            readers = [
                pa.ipc.open_file(pa.memory_map(str(folder / name_part(n)))) for n in range(len(self.about["counts"]))
            ]
            self._batches = [reader.get_batch(i) for reader in readers for i in range(reader.num_record_batches)]
            self._hashes, self._rows, self.page_ids = (
                np.asarray(np.load(folder / name, mmap_mode="r")) for name in (HASHES, ROWS, PAGES)
            )
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
        wanted = np.uint64(hash_id(passage_id))
        place = int(np.searchsorted(self._hashes, wanted))
        while place < len(self) and self._hashes[place] == wanted:
            row = int(self._rows[place])
            if self.id_at(row) == passage_id:
                return row
            place += 1
        return None

    def rows_of_page(self, page_id: int) -> np.ndarray:
        """Every row of a page."""
        return np.flatnonzero(self.page_ids == page_id)

    def hidden_rows(self, request: SearchRequest) -> np.ndarray:
        """Rows that must not come back for a request."""
        if request.hide is HideMode.NONE:
            return np.zeros(0, dtype=np.int64)
        if request.hide is HideMode.PAGE and request.page_id is not None:
            return self.rows_of_page(request.page_id)
        row = self.find_row(request.passage_id)
        return np.array([] if row is None else [row], dtype=np.int64)

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        """Read passages in the order asked. Raises SearchError for an id that the store lacks."""
        return [self._read_row(self._require_row(passage_id)) for passage_id in passage_ids]

    def read_texts(self, start: int, end: int) -> Iterator[str]:
        """What is searched of the passages from one row to another."""
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

    def _read_row(self, row: int) -> FoundPassage:
        batch, offset = self._locate(row)
        passage_id, _, title, text, anchors, _ = (column[offset].as_py() for column in self._batches[batch].columns)
        return FoundPassage(passage_id, title, text, tuple((a["start"], a["end"]) for a in anchors))

    def _locate(self, row: int) -> tuple[int, int]:
        batch = bisect_right(self._starts, row) - 1
        return batch, row - self._starts[batch]
