"""The stages that make passages: documents are cut into chunks, and near-duplicates among these are dropped."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from flows.configuration.run_context import RunContext
from flows.stages.inputs import list_files, reading
from flows.stages.spec import RoundPart, StageSpec
from pipeline.stage import Stage
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import reading_boundary
from schemas.config import StageName
from schemas.documents import Document
from schemas.passages import Chunk, Passage
from schemas.scale_plan import ScaleUnit


def open_chunks(context: RunContext, _: str) -> Stage[Any]:
    """Documents to chunks."""
    from pipeline.passages.stages import ChunkStage

    return ChunkStage(context.config.passages)


def locate_duplicates(run: RunFolder) -> Path:
    """The list of near-duplicates, made once for all shards."""
    return run.ledger(StageName.DEDUP) / "duplicates.parquet"


def find_near_duplicates(context: RunContext) -> None:
    """Compare the chunks of all shards."""
    from pipeline.passages.duplicates import find_duplicates

    target = locate_duplicates(context.run)
    reading = reading_boundary(context.run.dataset(Chunk.dataset))
    with (
        wrap_os_errors(target),
        reading,
        tempfile.TemporaryDirectory(dir=context.run.root, prefix=".duplicates-") as scratch,
    ):
        chunks = list_files(context, StageName.CHUNK, Chunk)
        find_duplicates(chunks, context.config.passages.duplicate_similarity, target, Path(scratch))
    context.run.publish(target)


def open_dedup(context: RunContext, shard: str) -> Stage[Any]:
    """Chunks to passages."""
    from pipeline.passages.duplicates import read_duplicates
    from pipeline.passages.stages import DeduplicateStage

    name = context.run.shard(Chunk.dataset, shard, StageName.CHUNK).name
    return DeduplicateStage(read_duplicates(context.run.fetch(locate_duplicates(context.run)), name))


CHUNK = StageSpec(
    StageName.CHUNK,
    "Cut documents into chunks (chunks/).",
    inputs=(StageName.CORPUS,),
    unit="document",
    scales_with=ScaleUnit.WORDS,
    config_keys=lambda _: ("passages",),
    packages=lambda _: ("datasketch",),
    counted=Document,
    outputs=(Chunk,),
    read=reading(Document),
    open=open_chunks,
    part_of_round=RoundPart.SHARED,
)


DEDUP = StageSpec(
    StageName.DEDUP,
    "Remove near-duplicate chunks; the others are the passages (passages/).",
    inputs=(StageName.CHUNK,),
    unit="passage",
    scales_with=ScaleUnit.WORDS,
    config_keys=lambda _: ("passages.duplicate_similarity",),
    counted=Chunk,
    outputs=(Passage,),
    read=reading(Chunk),
    open=open_dedup,
    prepare=find_near_duplicates,
    made=lambda run: (locate_duplicates(run),),
    part_of_round=RoundPart.SHARED,
)
