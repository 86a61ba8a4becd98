"""Term counts of a block of passages, on disk, sorted by term and then by row.

Guarantees: a block on disk is complete; it depends on its passages and the tokenizer alone.
"""

from __future__ import annotations

import shutil
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.sorted_strings import SortedStrings, SortedStringsWriter
from pipeline.search.tokens import make_tokenizer

TERMS = "terms"


@dataclass(frozen=True, slots=True)
class CountWork:
    """Parameters of `count_block`, the same for every block."""

    store: Path
    """The `passages` part."""
    scratch: Path
    """Folder of the blocks."""
    tokenizer: str


class TermBlock:
    """The counts of one block, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.terms = SortedStrings(folder / TERMS)
        self.ends = _load(folder, "ends")
        """Start of the postings of each term, and the end of the last; int64."""
        self.rows = _load(folder, "rows")
        """Row of each posting, from the block's first; int32."""
        self.counts = _load(folder, "counts")
        """Occurrences of the term in the row; int32."""
        self.lengths = _load(folder, "lengths")
        """Number of terms of each passage; int32."""


def _load(folder: Path, name: str) -> np.ndarray:
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))


def place_block(scratch: Path, number: int) -> Path:
    """The folder of a block."""
    return scratch / f"{number:05}"


def count_block(work: CountWork, block: tuple[int, int, int]) -> None:
    """Count the terms of a block (its number, first row, and the row after its last) unless it exists."""
    number, start, end = block
    folder = place_block(work.scratch, number)
    if folder.exists():
        return
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    vocabulary, numbers, lengths = _number_terms(work, start, end)
    names = [term.encode() for term in vocabulary]
    order = sorted(range(len(names)), key=names.__getitem__)
    with SortedStringsWriter(partial / TERMS) as writer:
        for index in order:
            writer.append(names[index])
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    # One key for term and row: sorting it sorts by term, then row, and equal keys are the same term in the same row.
    keys = ranks[numbers] * (end - start)
    keys += np.repeat(np.arange(end - start), lengths)
    postings, counts = np.unique(keys, return_counts=True)
    terms, rows = np.divmod(postings, end - start)
    ends = np.zeros(len(order) + 1, np.int64)
    np.cumsum(np.bincount(terms, minlength=len(order)), out=ends[1:])
    columns: tuple[np.ndarray, ...] = (ends, rows.astype(np.int32), counts.astype(np.int32), lengths)
    for name, column in zip(("ends", "rows", "counts", "lengths"), columns, strict=True):
        np.save(partial / f"{name}.npy", column)
    partial.rename(folder)


def _number_terms(work: CountWork, start: int, end: int) -> tuple[dict[str, int], np.ndarray, np.ndarray]:
    """The vocabulary in order of appearance, every term as its number there, and the terms in each passage."""
    tokenize = make_tokenizer("", work.tokenizer)
    vocabulary: dict[str, int] = {}
    numbers = array("i")
    lengths = array("i")
    for text in PassageStore(work.store).read_texts(start, end):
        terms = tokenize(text)
        numbers.extend([vocabulary.setdefault(term, len(vocabulary)) for term in terms])
        lengths.append(len(terms))
    return vocabulary, np.asarray(numbers, np.int32), np.asarray(lengths, np.int32)
