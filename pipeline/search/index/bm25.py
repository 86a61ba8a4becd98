"""Builds the `bm25` part of an index from the `passages` part: the scores of bm25s's "lucene" variant, bit for bit.

The terms of each block of passages are counted separately (`term_counts`). Then the vocabularies are merged as streams,
and the columns of the score matrix are filled range by range of terms, each range from all blocks.

Guarantees: memory is bounded by the block and the range, whatever the size of the corpus; blocks and ranges may be
processed in any number of processes and the bytes are the same; after a kill, finished blocks are not counted again.
"""

from __future__ import annotations

import heapq
import math
from array import array
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.search.index.parts import SCRATCH, RunBlocks, finish_part, nothing_to_index, open_part, start_part
from pipeline.search.index.passage_store import PassageStore
from pipeline.search.index.sorted_strings import SortedStringsWriter
from pipeline.search.index.term_counts import TERMS, CountWork, TermBlock, count_block, place_block
from pipeline.search.tokens import choose_tokenizer
from schemas.record import content_id
from schemas.search_config import SearchConfig

KIND = "bm25"
SCORES, ROWS, ENDS = "scores.npy", "rows.npy", "ends.npy"
NUMBERS, RARITIES = "numbers.npy", "rarities.npy"
RANGE_POSTINGS = 1 << 24
"""Postings of a range of terms: 128 MB of output held at once."""


@dataclass(frozen=True, slots=True)
class FillWork:
    """Parameters of `fill_range`, the same for every range of terms."""

    building: Path
    """Folder of the matrix."""
    starts: tuple[int, ...]
    """First row of each block."""
    mean_length: float
    """Terms per passage."""
    k1: float
    b: float


def build_bm25(folder: Path, config: SearchConfig, lang: str, run_blocks: RunBlocks = map) -> dict[str, Any]:
    """Build the `bm25` part of the index at `folder`, whose `passages` part is there; its description.

    Raises SearchError when no passage has a term.
    """
    store = PassageStore(folder / "passages")
    settings = {
        "kind": KIND, "k1": config.k1, "b": config.b, "lang": lang,
        "tokenizer": choose_tokenizer(config.tokenizer, lang), "folded": True,
    }  # fmt: skip
    starts = tuple(accumulate(store.about["counts"], initial=0))
    building, done = start_part(folder / KIND, {**settings, "corpus": store.corpus, "starts": starts})
    if not done:
        blocks = [(number, *rows) for number, rows in enumerate(pairwise(starts))]
        count = CountWork(folder / "passages", building / SCRATCH, str(settings["tokenizer"]))
        for _ in run_blocks(partial(count_block, count), blocks):
            pass
        counts = _fill(building, starts, config, run_blocks)
        about = {**settings, **counts, "corpus": store.corpus, "passages": len(store)}
        finish_part(building, folder / KIND, {**about, "fingerprint": content_id(settings, store.corpus)})
    return open_part(folder / KIND, KIND)


def _fill(building: Path, starts: tuple[int, ...], config: SearchConfig, run_blocks: RunBlocks) -> dict[str, Any]:
    """Merge the vocabularies and fill the matrix; the numbers of terms and of postings."""
    scratch = building / SCRATCH
    blocks = [TermBlock(place_block(scratch, number)) for number in range(len(starts) - 1)]
    frequencies = merge_terms(building, blocks)
    if not len(frequencies):
        raise nothing_to_index()
    ends = np.zeros(len(frequencies) + 1, np.int64)
    np.cumsum(frequencies, out=ends[1:])
    np.save(building / ENDS, ends)
    np.save(scratch / RARITIES, weigh_terms(frequencies, starts[-1]))
    for name, dtype in ((SCORES, np.float32), (ROWS, np.int32)):
        np.lib.format.open_memmap(building / name, "w+", dtype, (int(ends[-1]),)).flush()
    total = sum(int(block.lengths.sum(dtype=np.int64)) for block in blocks)
    work = FillWork(building, starts, total / starts[-1], config.k1, config.b)
    cuts = np.searchsorted(ends, np.arange(0, int(ends[-1]), RANGE_POSTINGS)).tolist()
    for _ in run_blocks(partial(fill_range, work), list(pairwise([*dict.fromkeys(cuts), len(frequencies)]))):
        pass
    return {"terms": len(frequencies), "postings": int(ends[-1])}


def merge_terms(building: Path, blocks: list[TermBlock]) -> np.ndarray:
    """Write the vocabulary of all blocks, and beside each block the numbers of its terms in it; the document frequency
    of each term.
    """
    numbers = [array("i") for _ in blocks]
    last, previous = -1, b""
    with SortedStringsWriter(building / TERMS) as writer:
        for term, index in heapq.merge(*(zip(block.terms, repeat(number)) for number, block in enumerate(blocks))):
            if last < 0 or term != previous:
                writer.append(term)
                last, previous = last + 1, term
            numbers[index].append(last)
    frequencies = np.zeros(last + 1, np.int64)
    for index, (block, own) in enumerate(zip(blocks, numbers, strict=True)):
        column = np.asarray(own, np.int32)
        frequencies[column] += np.diff(block.ends)
        np.save(place_block(building / SCRATCH, index) / NUMBERS, column)
    return frequencies


def weigh_terms(frequencies: np.ndarray, passages: int) -> np.ndarray:
    """Inverse document frequency of each term, as float32; few frequencies differ, so each is computed once."""
    values, indices = np.unique(frequencies, return_inverse=True)
    weights = [math.log(1 + (passages - n + 0.5) / (n + 0.5)) for n in values.tolist()]
    return np.asarray(weights, np.float32)[indices]


def fill_range(work: FillWork, terms: tuple[int, int]) -> None:
    """Fill the columns of a range of terms: rows in order, and their scores."""
    scratch = work.building / SCRATCH
    ends = np.load(work.building / ENDS, mmap_mode="r")[terms[0] : terms[1] + 1]
    weights = np.asarray(np.load(scratch / RARITIES, mmap_mode="r")[terms[0] : terms[1]])
    heads = np.asarray(ends[:-1] - ends[0])
    rows, scores = np.empty(ends[-1] - ends[0], np.int32), np.empty(ends[-1] - ends[0], np.float32)
    for number, start in enumerate(work.starts[:-1]):
        block = TermBlock(place_block(scratch, number))
        names = np.load(place_block(scratch, number) / NUMBERS, mmap_mode="r")
        low, high = np.searchsorted(names, terms)
        if low == high:
            continue
        names = np.asarray(names[low:high]) - terms[0]
        sizes, piece = np.diff(block.ends[low : high + 1]), slice(block.ends[low], block.ends[high])
        here, counts = block.rows[piece], block.counts[piece].astype(np.float64)
        # The postings of a term follow those of the blocks before.
        places = np.repeat(heads[names] - block.ends[low:high], sizes) + np.arange(piece.start, piece.stop)
        rows[places] = here + start
        norms = work.k1 * ((1 - work.b) + work.b * block.lengths[here] / work.mean_length)
        scores[places] = np.repeat(weights[names], sizes) * (counts / (norms + counts))
        heads[names] += sizes
    for name, column in ((ROWS, rows), (SCORES, scores)):
        target = np.load(work.building / name, mmap_mode="r+")
        target[ends[0] : ends[-1]] = column
        target.flush()
