"""Registry of the search engines, one row each, and what wraps all of them: caching, hiding, batching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.configuration.run_context import RunContext
from flows.search_engines.local import TERMS, VECTORS, IndexPart, check_opening, open_bm25, open_dense, open_hybrid
from flows.search_engines.remote import FUNCTION_KEY, open_custom, open_http, open_simulated, open_web
from pipeline.search.batching import BatchedSearch
from pipeline.search.cache import CachedSearch, SearchCache
from pipeline.search.engine import AsyncSearchEngine, PassageSource, SearchEngine
from pipeline.search.source_hiding import SourceHidingSearch
from pipeline.search.sync_adapter import SyncSearch
from schemas.config import RunConfig
from schemas.masking_config import EvidenceScope
from schemas.roles import Role
from schemas.search_config import EngineKind, SearchConfig

BATCH = 32
"""Queries per batch of an engine with a neural encoder, or a remote one."""
TERM_KEYS = ("search.k1", "search.b", "search.tokenizer")
"""Settings of the terms, which every index has."""
WEB_HITS = 10
"""Hits that every web search service returns for the price of one call."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One kind of engine: over a local index (`open`), or remote (`open_source`)."""

    kind: EngineKind
    open: Callable[[RunContext, Path], SearchEngine] | None = None
    """Opens it over the folder of an index."""
    open_source: Callable[[RunContext, str], PassageSource] | None = None
    """Opens it for a shard of the trajectories."""
    index_parts: tuple[IndexPart, ...] = ()
    """Parts of an index that it searches, besides the passages."""
    config_keys: tuple[str, ...] = ()
    """Configuration keys that its hits depend on, besides those of all engines and of the terms."""
    min_hits: Callable[[SearchConfig], int] = lambda _: 1
    """Hits requested at least: of an engine that is paid by the call, all that one call returns."""
    reranker: Callable[[SearchConfig], str | None] = lambda _: None
    """Model that reranks its hits, if any."""
    roles: tuple[Role, ...] = ()
    """Roles that language models play in it."""
    batch: int = BATCH
    """Queries that a search server searches together."""
    hang_seconds: float = 600.0
    """Limit on one search of such a batch, after which a search server replaces its worker."""


ENGINES: dict[EngineKind, EngineSpec] = {
    spec.kind: spec
    for spec in (
        EngineSpec(EngineKind.BM25, open=open_bm25, index_parts=(TERMS,), batch=1, hang_seconds=30.0),
        EngineSpec(EngineKind.DENSE, open=open_dense, index_parts=(VECTORS,), config_keys=("search.dense",)),
        EngineSpec(
            EngineKind.HYBRID,
            open=open_hybrid,
            index_parts=(TERMS, VECTORS),
            config_keys=("search.dense", "search.hybrid"),
            reranker=lambda search: search.hybrid.reranker,
        ),
        EngineSpec(EngineKind.HTTP, open_source=open_http, config_keys=("search.protocol",)),
        EngineSpec(EngineKind.WEB, open_source=open_web, config_keys=("search.web",), min_hits=lambda _: WEB_HITS),
        EngineSpec(
            EngineKind.SIMULATED,
            open_source=open_simulated,
            config_keys=("search.simulated",),
            min_hits=lambda search: search.simulated.documents,
            roles=(Role.SIMULATOR,),
        ),
        EngineSpec(EngineKind.CUSTOM, open_source=open_custom, config_keys=(FUNCTION_KEY,)),
    )
}
"""Every engine, by its kind."""


def find_engine(config: RunConfig) -> EngineSpec:
    """The engine that the configuration names."""
    return ENGINES[config.search.engine]


def open_local_engine(context: RunContext, index: Path) -> SearchEngine:
    """The configured engine over an index. Raises SearchError, ConfigError."""
    spec = find_engine(context.config)
    if spec.open is None:
        raise TypeError(f"{spec.kind} searches no index")
    check_opening(index, context.config, spec.index_parts)
    return spec.open(context, index)


def open_async_engine(context: RunContext, shard: str) -> AsyncSearchEngine:
    """The engine that the configuration names, for coroutines. Raises SearchError, ConfigError."""
    spec, search, hides = find_engine(context.config), context.config.search, True
    if spec.open_source is None:
        engine: AsyncSearchEngine = BatchedSearch(open_local_engine(context, context.run.fetch_index()))
    else:
        source = spec.open_source(context, shard)
        hides = source.hides
        engine = CachedSearch(source, _open_cache(context, source), spec.min_hits(search))
    if hides and not search.hide_copies:
        return engine
    return SourceHidingSearch(engine, hides, search.hide_copies)


def open_engine(context: RunContext, shard: str) -> SearchEngine:
    """The same for synchronous callers."""
    if find_engine(context.config).open and not context.config.search.hide_copies:
        return open_local_engine(context, context.run.fetch_index())
    return SyncSearch(open_async_engine(context, shard))


def read_fingerprint(context: RunContext) -> str:
    """The fingerprint of the engine that the configuration names. Raises SearchError, ConfigError."""
    spec = find_engine(context.config)
    if spec.open_source:
        return spec.open_source(context, "").fingerprint
    return open_local_engine(context, context.run.fetch_index()).fingerprint


def needs_index(config: RunConfig) -> bool:
    """Whether the run needs an index of its passages: for the engine, for the extractive agents, which weight words by
    their frequency, or for the evidence of spans."""
    return (
        bool(find_engine(config).index_parts)
        or config.agents.policy == "extractive"
        or config.masking.evidence is not EvidenceScope.NONE
    )


def fingerprint_index(context: RunContext) -> Mapping[str, str]:
    """What the parts of an index depend on, besides the passages and the terms."""
    parts = find_engine(context.config).index_parts
    return {key: value for part in parts for key, value in part.fingerprint_inputs(context).items()}


def _open_cache(context: RunContext, source: PassageSource) -> SearchCache | None:
    if not context.config.search_service.cache:
        return None
    kind = context.config.search.engine
    path = context.run.root / "searches" / f"{kind}-{source.fingerprint}.jsonl"
    return SearchCache(path, lambda: datetime.now(UTC).date().isoformat())
