"""Pages of an index: the rows of a page, and the pages of a title.

Guarantees: opening reads nothing; a lookup costs the logarithm of the number of passages; a title finds its pages
whatever its case, spaces and Unicode form.
"""

from __future__ import annotations

import hashlib
import unicodedata
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

ORDER = "page_rows.npy"
TITLE_HASHES = "title_hashes.npy"
TITLE_ROWS = "title_rows.npy"
FILES = (ORDER, TITLE_HASHES, TITLE_ROWS)


def fold_title(title: str) -> str:
    """The form by which titles are compared: those of one page in links, addresses and queries are the same."""
    return " ".join(unicodedata.normalize("NFKC", title.replace("_", " ")).casefold().split())


def hash_title(title: str) -> int:
    """64 bits of a folded title; two titles may share them."""
    folded = fold_title(title).encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(folded, digest_size=8).digest(), "little")


class TitleRows:
    """Gathers the first row of each page while an index is built."""

    def __init__(self) -> None:
        self._page: int | None = None
        self._row = 0
        self._hashes = array("Q")
        self._rows = array("q")

    def add(self, page_ids: Iterable[int], titles: Iterable[str]) -> None:
        """Add the next rows."""
        for page_id, title in zip(page_ids, titles, strict=True):
            if page_id != self._page:
                self._page = page_id
                self._hashes.append(hash_title(title))
                self._rows.append(self._row)
            self._row += 1

    def write(self, folder: Path, page_ids: np.ndarray) -> None:
        """Write the files of the table. `page_ids`: of each row."""
        hashes = np.array(self._hashes, dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        np.save(folder / TITLE_HASHES, hashes[order])
        np.save(folder / TITLE_ROWS, np.array(self._rows, dtype=np.int64)[order])
        np.save(folder / ORDER, np.argsort(page_ids, kind="stable").astype(np.int64))


class PageTable:
    """Rows by page or title."""

    def __init__(self, folder: Path, page_ids: np.ndarray) -> None:
        """Open the table in `folder`. Raises OSError and ValueError where it is absent or damaged."""
        self._page_ids = page_ids
        self._order, self._hashes, self._title_rows = (
            np.asarray(np.load(folder / name, mmap_mode="r")) for name in FILES
        )
        if len(self._order) != len(page_ids) or len(self._hashes) != len(self._title_rows):
            raise ValueError("its page table is of another length")

    def rows_of(self, page_id: int) -> np.ndarray:
        """Rows of a page, ascending; none for an unknown page."""
        start, end = (
            int(np.searchsorted(self._page_ids, page_id, side, sorter=self._order)) for side in ("left", "right")
        )
        return self._order[start:end]

    def find_title(self, title: str) -> Iterator[int]:
        """A row of each page that may have the title: two titles may share a hash."""
        key = np.uint64(hash_title(title))
        position = int(np.searchsorted(self._hashes, key))
        while position < len(self._hashes) and self._hashes[position] == key:
            yield int(self._title_rows[position])
            position += 1
