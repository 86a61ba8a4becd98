"""Builds the `dense` part of an index from the `passages` part: one vector per passage, and an approximate index.

Guarantees: vectors are written block by block into one file, later memory-mapped; after a kill only the interrupted
block is encoded again, and the bytes are the same; building holds one block of texts and vectors in memory, but for
HNSW, whose graph is built in memory.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.encoder import TextEncoder, choose_prompts
from pipeline.search.index.parts import SCRATCH, finish_part, open_part, start_part
from pipeline.search.index.passage_store import PassageStore
from pipeline.storage.files import write_atomically
from schemas.record import content_id
from schemas.search_config import DenseConfig, DenseIndex

log = logging.getLogger(__name__)

KIND = "dense"
VECTORS = "vectors.npy"
NEIGHBOURS = "neighbours.faiss"
BLOCK_ROWS = 1_024
SEED = 1234
LINKS, BREADTH = 32, 200
"""HNSW: M and efConstruction (Malkov and Yashunin 2016)."""
CODE_BITS, DIMENSIONS_PER_CODE = 8, 8
"""Product quantiser (Jegou et al. 2011): bits of a code, and the dimensions that it encodes."""
SAMPLES_PER_CENTRE = 64
MIN_FOR_CODES = 10 * 2**CODE_BITS
ADDED_AT_ONCE = 65_536


def build_dense(
    folder: Path, config: DenseConfig, encoder: TextEncoder, block_rows: int = BLOCK_ROWS
) -> dict[str, Any]:
    """Build the `dense` part of the index at `folder`, whose `passages` part is there; its description.

    Raises SearchError when the encoder fails or the corpus is too small for the kind of index.
    """
    store = PassageStore(folder / "passages")
    prefix = choose_prompts(config, encoder).passage
    settings = {
        "kind": KIND, "encoder": encoder.identity, "passage_prefix": prefix, "index": config.index.value,
    }  # fmt: skip
    plan = {**settings, "corpus": store.corpus, "block_rows": block_rows}
    building, done = start_part(folder / KIND, plan)
    if not done:
        if config.index is DenseIndex.IVFPQ and len(store) < MIN_FOR_CODES:
            what = f"ivfpq needs at least {MIN_FOR_CODES:,} passages, and there are {len(store):,}"
            raise SearchError(what, "set search.dense.index=flat")
        embed_passages(store, building, prefix, encoder, block_rows)
        vectors = np.load(building / VECTORS, mmap_mode="r")
        if config.index is not DenseIndex.FLAT:
            link_neighbours(vectors, config.index, building / NEIGHBOURS)
        about = {**settings, "corpus": store.corpus, "passages": len(store), "dimension": encoder.dimension}
        finish_part(building, folder / KIND, {**about, "fingerprint": content_id(settings, store.corpus)})
    return open_part(folder / KIND, KIND)


def embed_passages(store: PassageStore, building: Path, prefix: str, encoder: TextEncoder, block_rows: int) -> None:
    """Write the vector of every passage, with a prefix, in the blocks that are not finished."""
    path, shape = building / VECTORS, (len(store), encoder.dimension)
    starts = range(0, len(store), block_rows)
    pending = [start for start in starts if not _mark(building, start).exists()]
    log.info("%d of %d blocks of %d passages are to be embedded", len(pending), len(starts), block_rows)
    mode = "r+" if path.exists() and len(pending) < len(starts) else "w+"
    vectors = np.lib.format.open_memmap(path, mode, np.float32, shape)
    for start in pending:
        texts = store.read_texts(start, min(start + block_rows, len(store)))
        vectors[start : start + block_rows] = encoder.encode([prefix + text for text in texts])
        vectors.flush()  # before the block is marked as finished
        write_atomically(_mark(building, start), b"")


def _mark(building: Path, start: int) -> Path:
    return building / SCRATCH / f"{start:012}.done"


def load_faiss() -> Any:
    """The library without its type stubs, which are incomplete."""
    return importlib.import_module("faiss")


def link_neighbours(vectors: np.ndarray, kind: DenseIndex, path: Path) -> None:
    """Build faiss's index of the vectors, deterministically."""
    faiss = load_faiss()
    rows, dimension = vectors.shape
    threads = faiss.omp_get_max_threads()
    try:
        if kind is DenseIndex.HNSW:
            # Half-precision copies suffice: candidates are scored on the exact vectors.
            index = faiss.IndexHNSWSQ(dimension, faiss.ScalarQuantizer.QT_fp16, LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = BREADTH
            faiss.omp_set_num_threads(1)  # several threads link the nodes in a random order
        else:
            cells = max(1, min(round(4 * rows**0.5), rows // SAMPLES_PER_CENTRE))
            codes = max(n for n in range(1, dimension // DIMENSIONS_PER_CODE + 1) if dimension % n == 0)
            centres = faiss.IndexFlatIP(dimension)
            index = faiss.IndexIVFPQ(centres, dimension, cells, codes, CODE_BITS, faiss.METRIC_INNER_PRODUCT)
            index.cp.seed = SEED
        count = SAMPLES_PER_CENTRE * max(4096, 4 * int(rows**0.5))
        sample = np.sort(np.random.default_rng(SEED).permutation(rows)[:count])
        index.train(np.ascontiguousarray(vectors[sample]))
        for start in range(0, rows, ADDED_AT_ONCE):
            index.add(np.ascontiguousarray(vectors[start : start + ADDED_AT_ONCE]))
    finally:
        faiss.omp_set_num_threads(threads)
    faiss.write_index(index, str(path))
