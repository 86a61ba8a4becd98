"""A search service on the web as a source of passages.

Promises: one query is one call of the service; a result depends on the query and the service alone, not on what was
asked beside it; what went wrong is a status with the reason, and no reason holds the key; nothing is hidden here, and
nothing is kept: `SourceHidingSearch` and `CachedSearch` do that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pipeline.errors import ConfigError
from pipeline.search.engine import Answer, SearchRequest, fail_call
from pipeline.search.queries import check_query, make_call
from pipeline.search.remote.service import FailedCallError, SearchService
from pipeline.search.remote.web_providers import ADAPTERS, WebQuestion
from schemas.record import content_id
from schemas.search_config import SearchServiceConfig, WebConfig, WebProvider
from schemas.trajectories import Hit

VERSION = 1
"""Raised when the same answer of a service is read otherwise."""


class WebSource:
    """Finds pages by a service. Used inside one event loop at a time."""

    hides = False

    def __init__(self, config: WebConfig, service: SearchServiceConfig, lang: str, key: str | None) -> None:
        """`key`: the value of the variable that `name_key` names. Raises ConfigError for what is missing."""
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
        self._key = key or ""
        self._service = SearchService(config.provider, service, self._adapter.is_quota, self._key)

    @property
    def fingerprint(self) -> str:
        """Hash of the service, its address and how it is asked; what is behind it changes by the day."""
        config = self._config
        return content_id("web", VERSION, config.provider, self._address, config.engine_id, self._lang)

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query."""
        return [request.query]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request; a blank query has no results, one that the service would not take is an error."""
        return list(await asyncio.gather(*(self._find_one(request, k) for request in requests)))

    async def close(self) -> None:
        """Let connections go."""
        await self._service.close()

    async def _find_one(self, request: SearchRequest, k: int) -> Answer:
        query, refused = check_query(request, k)
        if refused is not None or not query.strip():
            return Answer(refused or make_call(query, ()))
        adapter = self._adapter
        if len(query) > adapter.longest:
            return Answer(fail_call(query, f"{len(query)} characters, {self._config.provider} takes {adapter.longest}"))
        count = min(k, adapter.most)
        asked = WebQuestion(self._address, query, count, self._lang, self._key, self._config.engine_id or "")
        try:
            found = await self._service.call(adapter.ask(asked), adapter.read)
        except FailedCallError as error:
            return Answer(fail_call(query, error.detail, error.status))
        passages = tuple({p.passage_id: p for p in (result.make_passage() for result in found[:count])}.values())
        hits = tuple(Hit(passage_id=p.passage_id, score=1 / rank) for rank, p in enumerate(passages, start=1))
        return Answer(make_call(query, hits), passages)


def name_key(provider: WebProvider, service: SearchServiceConfig) -> str | None:
    """The environment variable that holds a service's key; None where it takes none."""
    usual = ADAPTERS[provider].key_name
    return usual and (service.key or usual)
