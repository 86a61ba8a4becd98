"""Source of passages over a web search service.

Guarantees: one query is one call of the service; a result depends on the query and the service alone; a failure is a
status with the reason, which never contains the key. `SourceHidingSearch` and `CachedSearch` hide and store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipeline.errors import ConfigError
from pipeline.search.engine import Answer, SearchRequest, check_query, fail_call, make_call
from pipeline.search.remote.service import FailedCallError, SearchService
from pipeline.search.remote.web_providers import ADAPTERS, name_fields
from schemas.record import content_id
from schemas.search_config import SearchServiceConfig, WebConfig, WebProvider
from schemas.trajectories import Hit

VERSION = 1
"""To be raised when the same reply of a service is read otherwise."""


class WebSource:
    """A PassageSource over a service. Used inside one event loop at a time."""

    hides = False

    def __init__(self, config: WebConfig, service: SearchServiceConfig, lang: str, key: str | None) -> None:
        """`key`: the value of the variable `name_key`. Raises ConfigError for a missing setting."""
        self._adapter = ADAPTERS[config.provider]
        name = name_key(config.provider, service)
        if name and not key:
            raise ConfigError(
                f"search.web.provider={config.provider} needs a key, and {name} is not set",
                f"export {name}=..., or name another variable in search_service.key",
            )
        if config.provider is WebProvider.GOOGLE and not config.engine_id:
            raise ConfigError("search.web.provider=google needs the id of a search engine", "set search.web.engine_id")
        self._address = service.url or self._adapter.address.format(lang=lang.split("-")[0])
        self._config = config
        self._lang = lang
        self._fields = name_fields(lang, key or "", config.engine_id or "")
        self._service = SearchService(config.provider, service, self._adapter.is_quota, key or "")

    @property
    def fingerprint(self) -> str:
        """Hash of the service, its address and the request; its index changes daily."""
        config = self._config
        return content_id("web", VERSION, config.provider, self._address, config.engine_id, self._lang)

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query."""
        return [request.query]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request; a blank query has no results, one too long for the service is an error."""
        return list(await asyncio.gather(*(self._find_one(request, k) for request in requests)))

    async def close(self) -> None:
        """Close connections."""
        await self._service.close()

    async def _find_one(self, search: SearchRequest, k: int) -> Answer:
        query, refused = check_query(search, k)
        if refused is not None or not query.strip():
            return Answer(refused or make_call(query, ()))
        adapter = self._adapter
        if len(query) > adapter.max_query_chars:
            what = f"{len(query)} characters, {self._config.provider} takes {adapter.max_query_chars}"
            return Answer(fail_call(query, what))
        count = min(k, adapter.max_results)
        try:
            request = adapter.write_request(self._address, query, count, self._fields)
            results = await self._service.call(request, adapter.read)
        except FailedCallError as error:
            return Answer(fail_call(query, error.detail, error.status))
        passages = tuple({p.passage_id: p for p in (result.make_passage() for result in results[:count])}.values())
        hits = tuple(Hit(passage_id=p.passage_id, score=1 / rank) for rank, p in enumerate(passages, start=1))
        return Answer(make_call(query, hits), passages)


def name_key(provider: WebProvider, service: SearchServiceConfig) -> str | None:
    """The environment variable with a service's key; None for a service without keys."""
    usual = ADAPTERS[provider].key_name
    return usual and (service.key or usual)
