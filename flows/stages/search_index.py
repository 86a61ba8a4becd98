"""The stage that builds the search index over the passages."""

from __future__ import annotations

from flows.configuration.run_context import RunContext
from flows.search_engines.local import build_parts
from flows.search_engines.registry import TERM_KEYS, find_engine, fingerprint_index, needs_index
from flows.stages.inputs import list_files
from flows.stages.spec import RoundPart, StageSpec
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.shards import reading_boundary
from schemas.config import RunConfig, StageName
from schemas.passages import Passage
from schemas.scale_plan import ScaleUnit

TOKENIZERS = {"english": ("PyStemmer",), "jieba": ("jieba",)}
"""Packages of the tokenizers of BM25."""


def index_keys(config: RunConfig) -> tuple[str, ...]:
    """Keys that decide an index, besides its vectors."""
    return (*TERM_KEYS, *(("search.engine",) if find_engine(config).index_parts else ()))


def index_packages(config: RunConfig) -> tuple[str, ...]:
    """Packages of the tokenizer, and of the vectors and their search."""
    from pipeline.search.tokens import choose_tokenizer

    found = TOKENIZERS.get(choose_tokenizer(config.search.tokenizer, config.corpus.lang), ())
    return (*found, *(package for part in find_engine(config).index_parts for package in part.packages(config)))


def build_index(context: RunContext) -> None:
    """Index the passages of all shards."""
    with wrap_os_errors(context.run.index), reading_boundary(context.run.dataset(Passage.dataset)):
        files = list_files(context, StageName.DEDUP, Passage)
        build_parts(context, files, find_engine(context.config).index_parts)
    context.run.publish(context.run.index)


INDEX = StageSpec(
    StageName.INDEX,
    "Build the search index over the passages (index/).",
    inputs=(StageName.DEDUP,),
    unit="passage",
    scales_with=ScaleUnit.WORDS,
    config_keys=index_keys,
    packages=index_packages,
    counted=Passage,
    prepare=build_index,
    made=lambda run: tuple(sorted(run.index.glob("[!.]*/about.json"))),
    fingerprint_inputs=fingerprint_index,
    enabled=needs_index,
    part_of_round=RoundPart.SHARED,
)
