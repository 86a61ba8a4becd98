"""The two stages that turn pages into passages: cut into chunks, and drop near-duplicates.

Between them stands `find_duplicates`, over the chunks of every shard: whether a passage is a near-duplicate is the one
question in this project that no shard can answer alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from pipeline.passages.chunking import Cut, cut_document
from pipeline.passages.duplicates import Duplicate
from pipeline.passages.signatures import sign_texts
from pipeline.stage import Outcome
from schemas.config import PassagesConfig, StageName
from schemas.documents import Document
from schemas.funnel import FunnelStep, Reject
from schemas.passages import Chunk
from schemas.record import Record


class ChunkStage:
    """Documents to chunks: passages with the signatures for finding near-duplicates."""

    whole_shard = False

    def __init__(self, config: PassagesConfig) -> None:
        self._config = config

    def run(self, inputs: Iterable[Document]) -> Iterator[Outcome]:
        """Chunk each page; a page without passages is rejected as `no_passage`."""
        for document in inputs:
            cut = cut_document(document, self._config)
            texts = [passage.text for passage in cut.passages]
            signatures = sign_texts(texts, self._config.duplicate_similarity)
            chunks = [
                Chunk(passage_id=passage.passage_id, passage=passage, signature=signed.digest, bands=signed.bands)
                for passage, signed in zip(cut.passages, signatures, strict=True)
            ]
            rows: list[Record] = [*chunks, *cut.rejects]
            if not chunks:
                rows.append(_reject_page(document))
            yield Outcome(document.document_id, tuple(rows), _count_cut(cut))


class DeduplicateStage:
    """Chunks to passages, without near-duplicates of earlier passages."""

    whole_shard = False

    def __init__(self, duplicates: Mapping[str, Duplicate]) -> None:
        """`duplicates`: those of the shard, by passage id (`read_duplicates`)."""
        self._duplicates = duplicates

    def run(self, inputs: Iterable[Chunk]) -> Iterator[Outcome]:
        """Return each chunk's passage, or reject it as `near_duplicate`."""
        for chunk in inputs:
            duplicate = self._duplicates.get(chunk.passage_id)
            row = chunk.passage if duplicate is None else _reject_duplicate(chunk, duplicate)
            rejected = {} if duplicate is None else {"near_duplicate": 1}
            step = FunnelStep.count(StageName.DEDUP, "passage", 1 - len(rejected), rejected)
            yield Outcome(chunk.passage_id, (row,), (step,))


def _count_cut(cut: Cut) -> tuple[FunnelStep, FunnelStep]:
    passed = len(cut.passages)
    page = FunnelStep.count(StageName.CHUNK, "document", int(passed > 0), {} if passed else {"no_passage": 1})
    reasons = Counter(reject.reason for reject in cut.rejects)
    return page, FunnelStep.count(StageName.CHUNK, "passage", passed, reasons)


def _reject_page(document: Document) -> Reject:
    detail = f"{document.title}: no part of it is long enough for a passage"
    return Reject(
        stage=StageName.CHUNK, unit="document", input_id=document.document_id, reason="no_passage", detail=detail
    )


def _reject_duplicate(chunk: Chunk, duplicate: Duplicate) -> Reject:
    if duplicate.duplicate_of == chunk.passage_id:
        detail = f"{chunk.passage.title}: an earlier shard contains the same passage"
    else:
        detail = f"{chunk.passage.title}: similarity {duplicate.similarity:.2f} to passage {duplicate.duplicate_of}"
    return Reject(
        stage=StageName.DEDUP, unit="passage", input_id=chunk.passage_id, reason="near_duplicate", detail=detail
    )
