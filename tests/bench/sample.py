"""Passages and tasks of the sample dump, in memory: what the benchmarks of later stages work on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from flows.configuration.cache import cache_folder
from pipeline.assets.store import get_asset
from pipeline.corpus.document_stage import DocumentStage
from pipeline.corpus.readers.opening import open_source
from pipeline.masking.sampling import sample_passages
from pipeline.masking.span_stage import SpanStage
from pipeline.masking.task_stage import SpannedPassage, TaskStage
from pipeline.passages.chunking import cut_document
from schemas.config import CorpusConfig, PassagesConfig
from schemas.documents import Document
from schemas.masking_config import MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import MaskTask, SpanSet

NO_SCORER = MaskingConfig(ner=None, scorer=None, selection=Selection.RANDOM)


def find_asset_path(name: str) -> str:
    """Where an asset lies; fetched first when it is not there."""
    return str(get_asset(name, cache_folder()))


@lru_cache
def cut_sample(max_tokens: int) -> tuple[Passage, ...]:
    """Every passage of the sample dump, at most `max_tokens` long."""
    pages = open_source(find_asset_path("enwiki-sample"), CorpusConfig())
    rows = [row for outcome in DocumentStage(CorpusConfig()).run(pages) for row in outcome.rows]
    config = PassagesConfig(max_tokens=max_tokens)
    return tuple(p for row in rows if isinstance(row, Document) for p in cut_document(row, config).passages)


def draw_passages(passages: Sequence[Passage], count: int) -> list[Passage]:
    """Some of the passages that can be masked, always the same."""
    chosen = sample_passages(passages, count, seed=0)
    return [passage for passage in passages if passage.passage_id in chosen]


def make_tasks(passages: Sequence[Passage]) -> list[MaskTask]:
    """Tasks from links and rules alone."""
    by_id = {passage.passage_id: passage for passage in passages}
    rows = [row for outcome in SpanStage(NO_SCORER).run(passages) for row in outcome.rows]
    spanned = [SpannedPassage(by_id[row.passage_id], row) for row in rows if isinstance(row, SpanSet)]
    outcomes = TaskStage(NO_SCORER, seed=0).run(spanned)
    return [row for outcome in outcomes for row in outcome.rows if isinstance(row, MaskTask)]


def write_index(passages: Sequence[Passage], folder: Path) -> Path:
    """A BM25 index over the passages, built the way a run builds it."""
    from pipeline.search.bm25 import build_index
    from pipeline.storage.shards import ShardWriter
    from schemas.search_config import SearchConfig

    with ShardWriter(folder, "part-0.parquet", Passage, {}) as writer:
        for passage in passages:
            writer.append(passage.model_dump(mode="json"))
        writer.close()
    build_index([folder / "part-0.parquet"], folder / "index", SearchConfig(), "en")
    return folder / "index"
