"""Builders and openers of the engines that search an index on this machine; encoders and rerankers are made here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from flows.configuration.run_context import RunContext
from flows.configuration.sources import find_revision
from flows.process.worker_pool import WorkerPool
from pipeline.assets.store import resolve_model
from pipeline.errors import ConfigError
from schemas.config import RunConfig
from schemas.roles import Role

if TYPE_CHECKING:
    from pipeline.search.dense import DenseEngine
    from pipeline.search.encoder import TextEncoder
    from pipeline.search.engine import SearchEngine
    from pipeline.search.hybrid import HybridEngine

T = TypeVar("T")
R = TypeVar("R")

ENDPOINT = "endpoint:"


@dataclass(frozen=True, slots=True)
class IndexPart:
    """A part of an index, besides the passages; the terms are built with these."""

    name: str
    build: Callable[[RunContext, int], None] | None = None
    """Builds it over so many passages."""
    fingerprint_inputs: Callable[[RunContext], Mapping[str, str]] = lambda _: {}
    """What it depends on, besides the passages."""
    packages: Callable[[RunConfig], tuple[str, ...]] = lambda _: ()
    """Packages that its content and its hits depend on."""


def build_parts(context: RunContext, shards: Sequence[Path], parts: Iterable[IndexPart]) -> None:
    """Build an index in the run's index folder: passages and terms always, and the other parts that an engine needs."""
    from pipeline.search import bm25
    from pipeline.search.index.memory import check_needs, estimate_build
    from pipeline.search.index.passages import BLOCK_ROWS

    index, config = context.run.index, context.config
    with WorkerPool(config.execution.workers) as pool:
        needs = estimate_build(shards, BLOCK_ROWS, pool.workers)
        check_needs("building the index", needs, context.run.root, _count_memory(config))

        def run_blocks(work: Callable[[T], R], blocks: Sequence[T], /) -> Iterable[R]:
            if len(blocks) < 2:  # starting a process takes longer
                return map(work, blocks)
            running = [pool.submit(work, block) for block in blocks]
            return (future.result() for future in running)

        about = bm25.build_index(shards, index, config.search, config.corpus.lang, run_blocks)
    for part in parts:
        if part.build:
            part.build(context, about["passages"])


def _build_vectors(context: RunContext, passages: int) -> None:
    from pipeline.search.index import dense as dense_build
    from pipeline.search.index.memory import check_needs, estimate_dense

    config = context.config
    encoder = open_encoder(context)
    needs = estimate_dense(passages, encoder.dimension, config.search.dense.index)
    check_needs("building the vectors", needs, context.run.root, _count_memory(config))
    dense_build.build_dense(context.run.index, config.search.dense, encoder)


def check_opening(index: Path, config: RunConfig, parts: Iterable[IndexPart]) -> None:
    """Raise SearchError when searching an index needs more memory than is available, or when the index is missing."""
    from pipeline.search.index.memory import check_needs, estimate_open
    from pipeline.search.index.parts import measure_part, open_part

    names = ("passages", *(part.name for part in parts))
    mapped = sum(measure_part(index / name, name) for name in names)
    passages = open_part(index / "passages", "passages")["passages"]
    check_needs(f"searching {passages:,} passages", estimate_open(passages, mapped), limit=_count_memory(config))


def _count_memory(config: RunConfig) -> int | None:
    limit_gb = config.execution.memory_gb
    return None if limit_gb is None else int(limit_gb * 1e9)


def _fingerprint_vectors(context: RunContext) -> Mapping[str, str]:
    dense = context.config.search.dense
    keys = {"encoder", "pooling", "max_tokens", "passage_prefix", "index"}
    revision = dense.encoder if dense.encoder.startswith(ENDPOINT) else find_revision(context, dense.encoder)
    return {"encoder": revision, "search.dense": dense.model_dump_json(include=keys)}


def _list_vector_packages(config: RunConfig) -> tuple[str, ...]:
    served = config.search.dense.encoder.startswith(ENDPOINT)
    return ("faiss-cpu", *(() if served else ("torch", "transformers")))


TERMS = IndexPart("bm25")
VECTORS = IndexPart("dense", _build_vectors, _fingerprint_vectors, _list_vector_packages)


def open_bm25(context: RunContext, index: Path) -> SearchEngine:
    """BM25 over an index. Raises SearchError."""
    from pipeline.search.bm25 import Bm25Engine

    return Bm25Engine(index)


def open_dense(context: RunContext, index: Path) -> DenseEngine:
    """The dense engine over an index. Raises SearchError, AssetError, ConfigError."""
    from pipeline.search.dense import DenseEngine

    return DenseEngine(index, context.config.search.dense, open_encoder(context))


def open_hybrid(context: RunContext, index: Path) -> HybridEngine:
    """The hybrid engine over an index, with its reranker if there is one. Raises as `open_dense` does."""
    from pipeline.search.bm25 import Bm25Engine
    from pipeline.search.hybrid import HybridEngine
    from pipeline.search.reranker import load_reranker

    search, reranker = context.config.search, None
    if name := search.hybrid.reranker:
        path = str(resolve_model(name, context.cache))
        reranker = load_reranker(path, search.dense.device, f"{name} {find_revision(context, name)}")
    return HybridEngine(Bm25Engine(index), open_dense(context, index), search.hybrid, reranker)


def open_encoder(context: RunContext) -> TextEncoder:
    """The configured encoder, opened once per process. Raises AssetError, ConfigError, SearchError."""
    config = context.config
    key = (config.search.dense, config.search_service, config.llm.endpoints, context.cache)
    return context.resources.keep("encoder", key, lambda: _open_encoder(context))


def _open_encoder(context: RunContext) -> TextEncoder:
    dense = context.config.search.dense
    if dense.encoder.startswith(ENDPOINT):
        return _open_endpoint(context.config)
    from pipeline.search.encoder import load_encoder

    name = f"{dense.encoder} {find_revision(context, dense.encoder)}"
    return load_encoder(str(resolve_model(dense.encoder, context.cache)), dense, name)


def _open_endpoint(config: RunConfig) -> TextEncoder:
    from flows.models.credentials import open_credentials
    from pipeline.llm.client import AsyncApiClient
    from pipeline.search.remote.embeddings import EndpointEncoder
    from pipeline.search.remote.service import SearchService

    dense, known = config.search.dense, config.llm.endpoints
    named = [name for name, endpoint in known.items() if Role.EMBEDDER in endpoint.roles]
    names = named or [name for name, endpoint in known.items() if not endpoint.roles]
    if not names:
        raise ConfigError(
            f"no endpoint serves the encoder {dense.encoder}", f"give one in llm.endpoints the role {Role.EMBEDDER}"
        )
    endpoint = known[names[0]]
    service = SearchService(f"endpoint {names[0]}", config.search_service)
    client = AsyncApiClient(endpoint, open_credentials(names[0], endpoint), config.search_service.in_flight)
    return EndpointEncoder(service, client, dense.encoder.removeprefix(ENDPOINT), dense.max_tokens, dense.batch)
