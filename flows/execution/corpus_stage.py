"""Corpus stage: reads the sources and divides their pages into shards of documents, with a Prefect task per source and
a process per shard.

A source can only be read from its start, but reading is some twenty times faster than cleaning: on resume the pages of
finished shards are skipped. At most two shards of raw pages per worker are in memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.configuration.provenance import name_sources
from flows.configuration.source_ledger import check_sources, note_digest, open_digest, write_source_records
from flows.configuration.sources import bring_source, find_sources
from flows.execution.shard import ShardReport, clean_pages
from flows.execution.stage import RunSession, enter_stage, note_timing, retry_options
from flows.monitoring.prefect_artifacts import publish_stage
from flows.monitoring.stage_progress import StageProgress
from flows.stages.corpus import CORPUS
from pipeline.corpus.readers.opening import open_source
from pipeline.corpus.readers.raw_page import RawPage
from pipeline.corpus.repeated_documents import separate_repeats
from pipeline.errors import SourceError
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shard_run import sum_funnel
from pipeline.storage.shards import read_rows
from pipeline.storage.stage_ledger import close_stage
from schemas.funnel import Reject
from schemas.ledger import ShardCommit, StageManifest

PIECES_AHEAD = 2
"""Shards of raw pages read ahead for each worker."""
PIECE_CHARS = 1 << 26
"""Characters of raw pages after which a shard ends, whatever the number of pages, because it is held in memory."""


def run_corpus(session: RunSession) -> StageManifest:
    """Run the first stage and return its manifest."""
    finished = enter_stage(session, CORPUS)
    run = session.context.run
    write_source_records(run, check_sources(session.context))
    if finished is not None:
        return finished
    started = time.monotonic()
    reports: list[ShardReport] = []
    with session.board.stage(session.context, CORPUS, None) as gauge:
        sources = find_sources(session.context)
        for number in range(len(sources)):
            reports += read_source(session, number, sources, gauge)
    refuse_nothing(run, [report.commit for report in reports])
    separate_repeats(run, CORPUS.name)
    manifest = close_stage(run, CORPUS.name, [report.commit.shard for report in reports])
    publish_stage(gauge.latest, manifest)
    work = sum(report.work_seconds for report in reports)
    note_timing(session, CORPUS.name, started, work, sum(report.commit.inputs for report in reports))
    return manifest


def read_source(session: RunSession, number: int, sources: Sequence[str], gauge: StageProgress) -> list[ShardReport]:
    """Clean one source, as a Prefect task. Shards are named `<source number>-<shard number>`."""
    context, source = session.context, sources[number]
    name = name_sources(sources)[number]

    @task(name=CORPUS.name, task_run_name=f"source-{number:03d}", cache_policy=NO_CACHE, **retry_options(session))
    def read_one() -> list[ShardReport]:
        reports: list[ShardReport] = []
        under_way: set[Future[ShardReport]] = set()
        earlier = {commit.shard: commit for commit in context.run.commits(CORPUS.name)}
        local = bring_source(context, source)
        digest = open_digest(local, sources)
        read = open_source(local, context.config.corpus, digest)
        if "/" in name:  # another source has the same file name
            read = name_pages(read, name)
        pieces = cut_pieces(read, context.config.corpus.pages_per_shard)
        for piece, pages in enumerate(pieces):
            shard = f"{number:03d}-{piece:05d}"
            done = earlier.get(shard)
            if done is not None:
                reports.append(ShardReport(done, 0.0))
                gauge.enter_earlier(done)
                continue
            future = session.submit(
                CORPUS, clean_pages, context.run.location, shard, context.config, context.cache, pages
            )
            under_way.add(future)
            if len(under_way) >= PIECES_AHEAD * session.capacity(CORPUS):
                under_way -= _collect(under_way, reports, gauge)
        while under_way:
            under_way -= _collect(under_way, reports, gauge)
        if digest is not None:
            note_digest(context.run, number, source, digest.finish())
        return reports

    reports: list[ShardReport] = read_one()
    return reports


def _collect(
    under_way: set[Future[ShardReport]], reports: list[ShardReport], gauge: StageProgress
) -> set[Future[ShardReport]]:
    """Wait until at least one shard is done, and record those that are."""
    finished = wait(under_way, return_when=FIRST_COMPLETED).done
    for future in finished:
        report = future.result()
        gauge.enter(report.commit)
        reports.append(report)
    return finished


def name_pages(pages: Iterator[RawPage], name: str) -> Iterator[RawPage]:
    """Add the name of the source in this run to its pages."""
    return (replace(page, source=name) for page in pages)


def cut_pieces(pages: Iterator[RawPage], size: int) -> Iterator[list[RawPage]]:
    """Divide pages into lists of `size`, shorter where their text reaches `PIECE_CHARS`; the last
    may be shorter too.
    """
    piece: list[RawPage] = []
    chars = 0
    for page in pages:
        piece.append(page)
        chars += len(page.text)
        if len(piece) >= size or chars >= PIECE_CHARS:
            yield piece
            piece, chars = [], 0
    if piece:
        yield piece


def refuse_nothing(run: RunFolder, commits: Sequence[ShardCommit]) -> None:
    """Raise SourceError if no page became a document, with the reasons and an example."""
    steps = sum_funnel(step for commit in commits for step in commit.funnel)
    step = next((step for step in steps if step.unit == CORPUS.unit), None)
    if step is None or step.passed:
        return
    reason, count = max(step.rejected.items(), key=lambda rejected: rejected[1])
    rejects = (
        row for commit in commits for row in read_rows(run.part(Reject.dataset, commit.shard, CORPUS.name), Reject)
    )
    detail = next(row.detail for row in rejects if row.reason == reason)
    raise SourceError(
        f"no page became a document: {reason}, {count:,} of {step.entered:,}, such as {detail}",
        f"`rampforge inspect {run.location}` shows the rejects; fix the sources or corpus.*, then add --redo corpus",
    )
