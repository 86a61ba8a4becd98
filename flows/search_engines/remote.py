"""Openers of the remote engines: a search server, a web search service, a language model that writes passages, a
function of the user."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from flows.configuration.run_context import RunContext
from flows.models.credentials import read_keys, read_token
from pipeline.components import identify_component, load_component
from pipeline.errors import ConfigError, SearchError
from schemas.config import RunConfig

if TYPE_CHECKING:
    from pipeline.search.engine import PassageSource
    from pipeline.search.remote.http_source import ServerAbout

PROBE_SECONDS = 10.0
FUNCTION_KEY = "search.function"


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


def open_custom(context: RunContext, _: str) -> PassageSource:
    """The engine that the user's function `search.function` opens. Raises ConfigError."""
    from pipeline.search.custom_source import CustomSource

    name = context.config.search.function
    if name is None:
        raise ConfigError("engine custom needs a function", f"set {FUNCTION_KEY}=my_module:open_engine")
    identity = identify_component(FUNCTION_KEY, name)
    try:
        opened = load_component(FUNCTION_KEY, name)()
    except Exception as error:  # whatever the user's function raises
        what = f"{FUNCTION_KEY}: {name} failed: {type(error).__name__}: {' '.join(str(error).split())}"
        raise ConfigError(what, "mend the function; it is called without arguments") from error
    return CustomSource(opened, identity, context.config.search_service)


def probe_server(config: RunConfig) -> ServerAbout:
    """Probe the server of engine `http`. A server other than rampforge's reports no fingerprint. Raises SearchError
    when none answers."""
    import httpx

    from pipeline.http.proxies import open_client
    from pipeline.search.remote.http_source import ServerAbout
    from pipeline.search.remote.protocols import locate_server

    url = config.search_service.url
    if url is None:
        raise ConfigError("engine http needs a server", "set search_service.url, such as http://127.0.0.1:8000")
    base = locate_server(url)
    try:
        with open_client(base, timeout=PROBE_SECONDS) as client:
            reply = client.get(f"{base}/healthz")
        health: Any = reply.json() if reply.status_code == httpx.codes.OK else None
    except ValueError:
        health = None
    except httpx.HTTPError as error:
        fix = "start it (`rampforge search serve RUN`), or mend search_service.url"
        raise SearchError(f"no search server answers at {base}: {error}", fix) from None
    engine = health.get("engine") if isinstance(health, dict) else None
    return ServerAbout(base, config.search.protocol, engine if isinstance(engine, str) else None)
