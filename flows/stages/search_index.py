"""The stage that builds the search index over the passages."""

from __future__ import annotations

from flows.configuration.run_context import RunContext
from flows.search_engines.local import ENDPOINT, VECTOR_ENGINES, index_facts
from flows.search_engines.registry import LOCAL, needs_index
from flows.stages.inputs import list_files
from flows.stages.library_versions import MODELS
from flows.stages.spec import RoundPart, StageSpec
from pipeline.storage.files import wrap_os_errors
from pipeline.storage.shards import reading_boundary
from schemas.config import RunConfig, StageName
from schemas.passages import Passage
from schemas.scale_plan import ScaleUnit

TERM_KEYS = ("search.k1", "search.b", "search.tokenizer")
TOKENIZERS = {"english": ("PyStemmer",), "jieba": ("jieba",)}
"""Packages of the tokenizers of BM25."""


def index_keys(config: RunConfig) -> tuple[str, ...]:
    """What decides an index, besides its vectors."""
    return (*TERM_KEYS, *(("search.engine",) if config.search.engine in LOCAL else ()))


def index_packages(config: RunConfig) -> tuple[str, ...]:
    """What cuts text into terms, and makes vectors and searches them."""
    from pipeline.search.tokens import choose_tokenizer

    found = TOKENIZERS.get(choose_tokenizer(config.search.tokenizer, config.corpus.lang), ())
    if config.search.engine not in VECTOR_ENGINES:
        return found
    return (*found, "faiss-cpu", *(() if config.search.dense.encoder.startswith(ENDPOINT) else MODELS))


def build_index(context: RunContext) -> None:
    """Index the passages of all shards."""
    from flows.search_engines.local import build_parts

    with wrap_os_errors(context.run.index), reading_boundary(context.run.dataset(Passage.dataset)):
        build_parts(context, list_files(context, StageName.DEDUP, Passage))
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
    fingerprint_inputs=index_facts,
    enabled=needs_index,
    part_of_round=RoundPart.SHARED,
)
