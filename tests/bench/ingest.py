"""Ingest against bare mwxml + mwparserfromhell.parse on the sample dump, and memory as the input grows."""

from __future__ import annotations

import bz2
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mwparserfromhell
import mwxml

from flows.configuration.cache import cache_folder
from flows.execution.corpus_stage import cut_pieces
from flows.process.worker_pool import WorkerPool
from pipeline.assets.store import get_asset
from pipeline.corpus.document_stage import DocumentStage
from pipeline.corpus.readers.opening import open_source
from pipeline.corpus.readers.raw_page import RawPage
from schemas.config import CorpusConfig
from tests.bench.figures import Figure, compare_cpu, run_apart

PAGES_PER_PIECE = 8


def read_bare(dump: Path) -> int:
    """What the raw libraries do: read every page, parse its markup, keep nothing."""
    with bz2.open(dump) as file:
        revisions = (revision for page in mwxml.Dump.from_file(file) for revision in page)
        return sum(len(mwparserfromhell.parse(revision.text or "").nodes) for revision in revisions)


def read_ours(dump: Path) -> int:
    """Read and clean every page."""
    config = CorpusConfig()
    return sum(len(outcome.rows) for outcome in DocumentStage(config).run(open_source(str(dump), config)))


def clean_piece(pages: list[RawPage]) -> int:
    """One worker's share."""
    return sum(len(outcome.rows) for outcome in DocumentStage(CorpusConfig()).run(pages))


def read_with_two(dump: Path, pool: WorkerPool) -> int:
    """Read in this process, clean in two others."""
    pieces = cut_pieces(open_source(str(dump), CorpusConfig()), PAGES_PER_PIECE)
    return sum(future.result() for future in [pool.submit(clean_piece, piece) for piece in pieces])


def measure_memory(dump: str) -> Iterator[tuple[str, float]]:
    """Read a dump, as a child process does for its peak memory."""
    yield "rows", float(read_ours(Path(dump)))


def repeat_dump(dump: Path, target: Path, times: int) -> None:
    """The same pages over and over in one well-formed dump."""
    text = bz2.decompress(dump.read_bytes())
    first, last = text.index(b"<page>"), text.rindex(b"</page>") + len(b"</page>\n")
    with target.open("wb") as file:
        file.write(text[:first])
        for _ in range(times):
            file.write(text[first:last])
        file.write(text[last:])


def run() -> list[Figure]:
    """All figures of this benchmark."""
    dump = get_asset("enwiki-sample", cache_folder())
    megabytes = len(bz2.decompress(dump.read_bytes())) / 1e6
    ours, bare, ratio = compare_cpu(lambda: read_ours(dump), lambda: read_bare(dump), rounds=3)
    figures = [
        Figure("bare mwxml + mwparserfromhell", megabytes / bare, "MB/s of CPU"),
        Figure("ours: read, clean, classify", megabytes / ours, "MB/s of CPU"),
        Figure("ours / bare, one core", ratio, "x", ">= 0.9"),
        Figure("two processes / bare", _speed_up(dump, bare), "x wall", ">= 1.7"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        peaks = []
        for times in (1, 10):
            path = Path(folder) / f"{times}.xml"
            repeat_dump(dump, path, times)
            peaks.append(run_apart("tests.bench.ingest", "measure_memory", str(path))["peak_mb"])
    figures.append(Figure("peak memory, 10x the input / 1x", peaks[1] / peaks[0], "x", "<= 1.2", f"{peaks[0]:.0f} MB"))
    return figures


def _speed_up(dump: Path, bare_seconds: float) -> float:
    """Bare seconds on one core over our wall seconds with two processes that are already up."""
    with WorkerPool(2) as pool:
        read_with_two(dump, pool)
        started = time.perf_counter()
        read_with_two(dump, pool)
        return bare_seconds / (time.perf_counter() - started)
