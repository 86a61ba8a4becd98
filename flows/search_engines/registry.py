"""Opens the search engine that a configuration names: the one place where engines are made, keys read, servers asked.

A kind of engine is one line in `LOCAL` (it searches an index of ours) or in `SOURCES` (it is asked over the network, or
makes its passages up). What all of them share - caching, withholding, waiting - is put around them here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from flows.configuration.run_context import RunContext
from flows.models.credentials import read_keys, read_token
from flows.search_engines.local import check_opening, open_dense, open_hybrid
from pipeline.errors import ConfigError, SearchError
from pipeline.http.proxies import open_client
from pipeline.search.batching import BatchedSearch
from pipeline.search.cache import CachedSearch, SearchCache
from pipeline.search.engine import AsyncSearchEngine, PassageSource, SearchEngine
from pipeline.search.remote.http_source import HttpSource, ServerAbout
from pipeline.search.remote.service import SearchService
from pipeline.search.source_hiding import SourceHidingSearch
from pipeline.search.sync_adapter import BlockingSearch
from schemas.config import RunConfig
from schemas.search_config import EngineKind, SearchConfig

PROBE_SECONDS = 10.0
WEB_HITS = 10
"""What every service gives for the price of one call."""


def _open_bm25(index: Path, config: RunConfig, cache: Path) -> SearchEngine:
    from pipeline.search.bm25 import Bm25Engine

    return Bm25Engine(index)


def _open_http(context: RunContext, _: str) -> PassageSource:
    config = context.config.search_service
    about = probe_server(context.config)
    return HttpSource(SearchService(about.url, config), about, read_token(config.key))


def _open_web(context: RunContext, _: str) -> PassageSource:
    from pipeline.search.remote.web_source import WebSource, name_key

    config = context.config
    name = name_key(config.search.web.provider, config.search_service)
    key = read_keys([name]).get(name, "").strip() if name else None
    return WebSource(config.search.web, config.search_service, config.corpus.lang, key)


def _open_simulated(context: RunContext, shard: str) -> PassageSource:
    from flows.models.chat_models import open_model
    from pipeline.search.simulated.source import SimulatedSource

    config = context.config
    # A journal of its own: that of the agents' calls has one writer.
    model = partial(open_model, context, "simulated", shard or "none")
    return SimulatedSource(config.search.simulated, config.llm.roles, config.corpus.lang, model)


LOCAL: dict[EngineKind, Callable[[Path, RunConfig, Path], SearchEngine]] = {
    EngineKind.BM25: _open_bm25,
    EngineKind.DENSE: open_dense,
    EngineKind.HYBRID: open_hybrid,
}
"""Engines over an index: opened from its folder, the configuration and the folder of the assets."""

SOURCES: dict[EngineKind, Callable[[RunContext, str], PassageSource]] = {
    EngineKind.HTTP: _open_http,
    EngineKind.WEB: _open_web,
    EngineKind.SIMULATED: _open_simulated,
}
"""Engines that are asked: opened for a place and a shard of the trajectories."""


def open_local_engine(index: Path, config: RunConfig, cache: Path) -> SearchEngine:
    """The engine that the configuration names, one of `LOCAL`, over an index. Raises SearchError, ConfigError."""
    check_opening(index, config)
    return LOCAL[config.search.engine](index, config, cache)


def open_async_engine(context: RunContext, shard: str) -> AsyncSearchEngine:
    """The engine that the configuration names, for coroutines. Raises SearchError, ConfigError."""
    search = context.config.search
    hides = True
    if search.engine in LOCAL:
        index = context.run.fetch_index()
        engine: AsyncSearchEngine = BatchedSearch(open_local_engine(index, context.config, context.cache))
    else:
        source = SOURCES[search.engine](context, shard)
        hides = isinstance(source, HttpSource) and source.hides
        engine = CachedSearch(source, _open_cache(context, source), _least_hits(search))
    if hides and search.hide_copies is None:
        return engine
    return SourceHidingSearch(engine, hides, search.hide_copies)


def open_engine(context: RunContext, shard: str) -> SearchEngine:
    """The same for callers that cannot wait."""
    search = context.config.search
    if search.engine in LOCAL and search.hide_copies is None:
        return open_local_engine(context.run.fetch_index(), context.config, context.cache)
    return BlockingSearch(open_async_engine(context, shard))


def read_fingerprint(context: RunContext) -> str:
    """The fingerprint of the engine that the configuration names. Raises SearchError, ConfigError."""
    if context.config.search.engine in LOCAL:
        return open_local_engine(context.run.fetch_index(), context.config, context.cache).fingerprint
    return SOURCES[context.config.search.engine](context, "").fingerprint


def needs_index(config: RunConfig) -> bool:
    """Whether an index of the run's own passages is asked for: by the engine, or by the extractive agents, who weigh
    words by how rare they are."""
    return config.search.engine in LOCAL or config.agents.policy == "extractive"


def _least_hits(search: SearchConfig) -> int:
    """Hits asked for at least of an engine that is paid by the call."""
    return {EngineKind.WEB: WEB_HITS, EngineKind.SIMULATED: search.simulated.documents}.get(search.engine, 1)


def _open_cache(context: RunContext, source: PassageSource) -> SearchCache | None:
    if not context.config.search_service.cache:
        return None
    kind = context.config.search.engine
    path = context.run.root / "searches" / f"{kind}-{source.fingerprint}.jsonl"
    return SearchCache(path, lambda: datetime.now(UTC).date().isoformat())


def probe_server(config: RunConfig) -> ServerAbout:
    """What the server of engine `http` says of itself; a foreign one says nothing. Raises SearchError when none is
    there."""
    url = config.search_service.url
    if url is None:
        raise ConfigError("engine http needs a server", "set search_service.url, such as http://127.0.0.1:8000")
    base = url.rstrip("/").removesuffix("/retrieve")
    try:
        with open_client(base, timeout=PROBE_SECONDS) as client:
            reply = client.get(f"{base}/healthz")
        said: Any = reply.json() if reply.status_code == httpx.codes.OK else None
    except ValueError:
        said = None
    except httpx.HTTPError as error:
        fix = "start it (`rampforge search serve RUN`), or mend search_service.url"
        raise SearchError(f"no search server answers at {base}: {error}", fix) from None
    engine = said.get("engine") if isinstance(said, dict) else None
    return ServerAbout(base, config.search.protocol, engine if isinstance(engine, str) else None)
