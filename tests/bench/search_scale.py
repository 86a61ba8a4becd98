"""Search at scale: BM25 over a million made-up passages and over the shared corpus, against bare bm25s; how well BM25,
vectors and both together find supporting passages; how fast passages are encoded.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import SearchRequest
from pipeline.search.tokens import make_tokenizer
from schemas.arrow import arrow_schema
from schemas.passages import Passage
from schemas.search_config import SearchConfig
from tests.bench.bare_bm25s import write_bare_index
from tests.bench.figures import Figure, compare_cpu, run_apart
from tests.bench.question_corpus import make_passage, read_questions, write_shared_corpus

PASSAGES, WORDS_A_PASSAGE, VOCABULARY = 1_000_000, 60, 500_000
ZIPF = 1.1
SHARD_ROWS, GROUP_ROWS = 100_000, 2_000
QUERIES, QUERY_WORDS, K = 100, 8, 5
LOADS = 5


def run() -> list[Figure]:
    """All figures of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        return [*measure_shared(Path(folder)), *measure_million(Path(folder))]


def measure_shared(folder: Path) -> list[Figure]:
    """Speed and quality over the shared corpus; nothing where it is not there."""
    from tests.bench.retrieval_quality import measure_quality  # torch would weigh on the processes that open indexes

    questions = read_questions()
    if not questions:
        return []
    shard = folder / "shared.parquet"
    count = write_shared_corpus(shard)
    build_index([shard], folder / "shared", SearchConfig(), "en")
    write_bare_index(folder / "shared", folder / "bare_shared")
    queries = [question for question, _ in questions]
    speed = compare_search(folder / "shared", folder / "bare_shared", queries, f"{count:,} passages")
    return [*speed, *measure_quality(shard, folder / "shared", folder / "bare_shared", questions)]


def measure_million(folder: Path) -> list[Figure]:
    """Building, searching and opening a million passages of words drawn by Zipf's law."""
    shards = write_synthetic(folder, PASSAGES)
    started = time.process_time()
    about = build_index(shards, folder / "million", SearchConfig(), "en")
    seconds = time.process_time() - started
    built = Figure(
        "BM25 build", PASSAGES / seconds, "passages/s/core", note=f"{about['postings']:,} postings, one process"
    )
    write_bare_index(folder / "million", folder / "bare_million")
    queries = draw_words(np.random.default_rng(1), QUERIES, QUERY_WORDS)
    speed = compare_search(folder / "million", folder / "bare_million", queries, f"{PASSAGES:,} passages")
    return [built, *speed, *compare_loading(folder / "million", folder / "bare_million")]


def draw_words(rng: np.random.Generator, rows: int, words: int) -> list[str]:
    """Texts of made-up words: the n-th most frequent stands 1 / n^ZIPF as often as the first."""
    shares = 1 / np.arange(1, VOCABULARY + 1) ** ZIPF
    numbers = np.searchsorted(np.cumsum(shares / shares.sum()), rng.random((rows, words)))
    names = np.array([f"w{number}" for number in range(VOCABULARY + 1)], object)
    return [" ".join(row) for row in names[numbers]]


def write_synthetic(folder: Path, passages: int) -> list[Path]:
    """Write passages of made-up words, the same for everybody, as shards."""
    rng = np.random.default_rng(0)
    schema = arrow_schema(Passage)
    paths = []
    for start in range(0, passages, SHARD_ROWS):
        numbers = range(start, min(start + SHARD_ROWS, passages))
        names, texts = [f"s{number:09}" for number in numbers], draw_words(rng, len(numbers), WORDS_A_PASSAGE)
        same = make_passage(0, "", "", "")
        columns = {key: [value] * len(numbers) for key, value in same.items()}
        columns |= {"passage_id": names, "document_id": names, "page_id": list(numbers), "text": texts}
        paths.append(folder / f"synthetic-{start:09}.parquet")
        pq.write_table(pa.Table.from_pydict(columns, schema=schema), paths[-1], row_group_size=GROUP_ROWS)
    return paths


def compare_search(index: Path, bare: Path, queries: Sequence[str], note: str) -> list[Figure]:
    """A batch of queries through our engine and through bare bm25s, tokenised by the same tokenizer."""
    engine = Bm25Engine(index)
    model = bm25s.BM25.load(bare, mmap=True, show_progress=False)
    tokenize = make_tokenizer("en")
    requests = [SearchRequest(query) for query in queries]

    def search_bare() -> Any:
        return model.retrieve([tokenize(query) for query in queries], k=K, show_progress=False)

    found = np.asarray([[hit.score for hit in call.hits] for call in engine.search(requests, K)], np.float32)
    assert np.array_equal(found, search_bare().scores)
    ours, theirs, ratio = compare_cpu(lambda: engine.search(requests, K), search_bare)
    return [
        Figure("bare bm25s", len(queries) / theirs, "queries/s/core", note=note),
        Figure("BM25", len(queries) / ours, "queries/s/core", note=note),
        Figure("BM25 / bare bm25s per batch", ratio, "x", ">= 0.9", note),
    ]


def compare_loading(index: Path, bare: Path) -> list[Figure]:
    """Opening an index and answering one query, in fresh processes by turns: medians of time and resident memory."""
    ours, theirs = [], []
    for _ in range(LOADS):
        ours.append(run_apart(__name__, "load_ours", str(index)))
        theirs.append(run_apart(__name__, "load_bare", str(bare)))
    rows: dict[str, tuple[float, float]] = {
        key: (float(np.median([x[key] for x in ours])), float(np.median([x[key] for x in theirs]))) for key in ours[0]
    }
    return [
        Figure("load, bare bm25s", rows["seconds"][1], "s", note=f"{rows['resident_mb'][1]:.0f} MB resident"),
        Figure("load", rows["seconds"][0], "s", note=f"{rows['resident_mb'][0]:.0f} MB resident"),
        Figure("load time / bare bm25s", rows["seconds"][0] / rows["seconds"][1], "x", "<= 1.2"),
        Figure("resident / bare bm25s", rows["resident_mb"][0] / rows["resident_mb"][1], "x", "<= 1.3"),
        Figure("resident after queries / bare", rows["searched_mb"][0] / rows["searched_mb"][1], "x", "<= 1.3"),
    ]


def load_ours(index: str) -> Mapping[str, float]:
    """Open our index: seconds, and MB resident after opening and after some queries."""
    before = read_resident()
    started = time.perf_counter()
    engine = Bm25Engine(Path(index))
    seconds = time.perf_counter() - started
    opened = read_resident()
    engine.search([SearchRequest(f"w{n} w{n + 1}") for n in range(20)], K)
    return {"seconds": seconds, "before_mb": before, "resident_mb": opened, "searched_mb": read_resident()}


def load_bare(index: str) -> Mapping[str, float]:
    """The same for bare bm25s."""
    before = read_resident()
    started = time.perf_counter()
    model = bm25s.BM25.load(index, mmap=True, show_progress=False)
    seconds = time.perf_counter() - started
    opened = read_resident()
    model.retrieve([[f"w{n}", f"w{n + 1}"] for n in range(20)], k=K, show_progress=False)
    return {"seconds": seconds, "before_mb": before, "resident_mb": opened, "searched_mb": read_resident()}


def read_resident() -> float:
    """MB of this process in memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
