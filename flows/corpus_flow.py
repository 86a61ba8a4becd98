"""Reads the sources and cuts their pages into shards of documents: one Prefect task a source, one process a shard.

A source can only be read from its start, but reading is some twenty times faster than cleaning: on resume the pages of
finished shards are skipped unread. At most two shards of raw pages a worker are in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from itertools import islice
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import publish_stage
from flows.provenance import name_sources
from flows.shard_work import ShardReport, clean_pages
from flows.source_ledger import check_sources, note_digest, open_digest, write_source_records
from flows.sources import bring_source, find_sources
from flows.stage_flow import Sitting, enter_stage, note_timing, retry_options
from flows.stage_gauge import StageGauge
from flows.stage_table import CORPUS
from pipeline.corpus.raw_pages import RawPage
from pipeline.corpus.repeated_documents import separate_repeats
from pipeline.corpus.sources import open_source
from pipeline.storage.stage_ledger import close_stage
from schemas.ledger import StageManifest

T = TypeVar("T")

PIECES_AHEAD = 2
"""Shards of raw pages read ahead for each worker."""


def run_corpus(sitting: Sitting) -> StageManifest:
    """Bring the first stage to its end and return its manifest."""
    finished = enter_stage(sitting, CORPUS)
    run = sitting.place.run
    write_source_records(run, check_sources(sitting.place))
    if finished is not None:
        return finished
    started = time.monotonic()
    reports: list[ShardReport] = []
    with sitting.board.stage(sitting.place, CORPUS, None) as gauge:
        sources = find_sources(sitting.place)
        for number in range(len(sources)):
            reports += read_source(sitting, number, sources, gauge)
    separate_repeats(run, CORPUS.name)
    manifest = close_stage(run, CORPUS.name, [report.commit.shard for report in reports])
    publish_stage(gauge.latest, manifest)
    work = sum(report.work_seconds for report in reports)
    note_timing(sitting, CORPUS.name, started, work, sum(report.commit.inputs for report in reports))
    return manifest


def read_source(sitting: Sitting, number: int, sources: Sequence[str], gauge: StageGauge) -> list[ShardReport]:
    """Clean one source, as a Prefect task. Shards are named `<source number>-<shard number>`."""
    place, source = sitting.place, sources[number]
    name = name_sources(sources)[number]

    @task(name=CORPUS.name, task_run_name=f"source-{number:03d}", cache_policy=NO_CACHE, **retry_options(sitting))
    def read_one() -> list[ShardReport]:
        reports: list[ShardReport] = []
        under_way: set[Future[ShardReport]] = set()
        earlier = {commit.shard: commit for commit in place.run.commits(CORPUS.name)}
        local = bring_source(place, source)
        digest = open_digest(local, sources)
        read = open_source(local, place.config.corpus, digest)
        if "/" in name:  # another source has this file name
            read = name_pages(read, name)
        pieces = cut_pieces(read, place.config.corpus.pages_per_shard)
        for piece, pages in enumerate(pieces):
            shard = f"{number:03d}-{piece:05d}"
            done = earlier.get(shard)
            if done is not None:
                reports.append(ShardReport(done, 0.0))
                gauge.enter_earlier(done)
                continue
            future = sitting.submit(CORPUS, clean_pages, place.run.location, shard, place.config, place.cache, pages)
            under_way.add(future)
            if len(under_way) >= PIECES_AHEAD * sitting.room(CORPUS):
                under_way -= _collect(under_way, reports, gauge)
        while under_way:
            under_way -= _collect(under_way, reports, gauge)
        if digest is not None:
            note_digest(place.run, number, source, digest.finish())
        return reports

    reports: list[ShardReport] = read_one()
    return reports


def _collect(
    under_way: set[Future[ShardReport]], reports: list[ShardReport], gauge: StageGauge
) -> set[Future[ShardReport]]:
    """Wait until at least one shard is done; note those that are."""
    finished = wait(under_way, return_when=FIRST_COMPLETED).done
    for future in finished:
        report = future.result()
        gauge.enter(report.commit)
        reports.append(report)
    return finished


def name_pages(pages: Iterator[RawPage], name: str) -> Iterator[RawPage]:
    """Pages that bear the name of their source in this run."""
    return (replace(page, source=name) for page in pages)


def cut_pieces(pages: Iterator[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last may be shorter."""
    while piece := list(islice(pages, size)):
        yield piece
