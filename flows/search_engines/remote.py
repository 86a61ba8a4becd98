"""Opens the engines that are asked: a search server, a web search service, a language model that writes passages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flows.configuration.run_context import RunContext
from flows.models.credentials import read_keys, read_token
from pipeline.errors import ConfigError, SearchError
from schemas.config import RunConfig

if TYPE_CHECKING:
    from pipeline.search.engine import PassageSource
    from pipeline.search.remote.http_source import ServerAbout

PROBE_SECONDS = 10.0


def open_http(context: RunContext, _: str) -> PassageSource:
    """The search server at `search_service.url`. Raises SearchError, ConfigError."""
    from pipeline.search.remote.http_source import HttpSource
    from pipeline.search.remote.service import SearchService

    config = context.config.search_service
    about = probe_server(context.config)
    return HttpSource(SearchService(about.url, config), about, read_token(config.key))


def open_web(context: RunContext, _: str) -> PassageSource:
    """The web search service of `search.web`. Raises ConfigError."""
    from pipeline.search.remote.web_source import WebSource, name_key

    config = context.config
    name = name_key(config.search.web.provider, config.search_service)
    key = read_keys([name]).get(name, "").strip() if name else None
    return WebSource(config.search.web, config.search_service, config.corpus.lang, key)


def open_simulated(context: RunContext, shard: str) -> PassageSource:
    """The language model that plays a search engine."""
    from flows.models.chat_models import open_model
    from pipeline.search.simulated.source import SimulatedSource

    config = context.config
    # A journal of its own: that of the agents' calls has one writer.
    model = partial(open_model, context, "simulated", shard or "none")
    return SimulatedSource(config.search.simulated, config.llm.roles, config.corpus.lang, model)


def probe_server(config: RunConfig) -> ServerAbout:
    """What the server of engine `http` says of itself; a foreign one says nothing. Raises SearchError when none is
    there."""
    import httpx

    from pipeline.http.proxies import open_client
    from pipeline.search.remote.http_source import ServerAbout

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
