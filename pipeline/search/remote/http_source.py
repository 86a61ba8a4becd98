"""Source of passages behind a retrieval server, rampforge's or one of the field's.

Guarantees: failures become statuses; a rampforge server hides sources itself, and an answer from another index than at
opening is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pipeline.search.engine import Answer, SearchRequest, check_query, fail_call, make_call
from pipeline.search.remote.protocols import PROTOCOLS, locate_server, read_reply, write_request
from pipeline.search.remote.retrieve_protocol import ENGINE_HEADER, MAX_K
from pipeline.search.remote.service import FailedCallError, HttpRequest, SearchService, ServiceReply
from schemas.record import content_id
from schemas.search_config import HttpProtocol
from schemas.trajectories import HideMode, SearchStatus


@dataclass(frozen=True, slots=True)
class ServerAbout:
    """Description of a server."""

    url: str
    protocol: HttpProtocol
    engine: str | None = None
    """Fingerprint of its engine; None for a foreign server."""

    @property
    def hides(self) -> bool:
        """Whether it hides sources."""
        return self.engine is not None and self.protocol is HttpProtocol.SEARCH_R1


class HttpSource:
    """A PassageSource behind a URL."""

    def __init__(self, service: SearchService, about: ServerAbout, token: str | None = None) -> None:
        self._service = service
        self._about = about
        self._url = locate_server(about.url) + PROTOCOLS[about.protocol].path
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    @property
    def hides(self) -> bool:
        """Whether the server hides sources."""
        return self._about.hides

    @property
    def fingerprint(self) -> str:
        """That of the server's engine; of a foreign server, a hash of its address."""
        return self._about.engine or content_id("http", self._about.protocol, self._url)

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query, and the source that the server hides."""
        if not self.hides or request.hide is HideMode.NONE:
            return [request.query]
        return [request.query, request.passage_id, request.page_id if request.hide is HideMode.PAGE else None]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request with at most k passages, best first."""
        answers: dict[int, Answer] = {}
        valid: dict[int, SearchRequest] = {}
        for i, request in enumerate(requests):
            query, refused = check_query(request, k)
            if refused is not None or not query.strip():
                answers[i] = Answer(refused or make_call(query, ()))
            else:
                valid[i] = replace(request, query=query)
        size = PROTOCOLS[self._about.protocol].batch
        batches = [list(valid.values())[start : start + size] for start in range(0, len(valid), size)]
        replies = await asyncio.gather(*(self._send(batch, min(k, MAX_K)) for batch in batches))
        answers |= zip(valid, chain.from_iterable(replies), strict=True)
        return [answers[i] for i in range(len(requests))]

    async def close(self) -> None:
        """Close connections."""
        await self._service.close()

    async def _send(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        def read(reply: ServiceReply) -> list[Answer]:
            engine = reply.headers.get(ENGINE_HEADER)
            if engine != self._about.engine:
                raise FailedCallError(SearchStatus.ERROR, f"the server now serves another index ({engine})")
            return read_reply(self._about.protocol, reply.content, requests, k)

        try:
            body = write_request(self._about.protocol, requests, k, self.hides)
            return await self._service.call(HttpRequest("POST", self._url, body=body, headers=self._headers), read)
        except FailedCallError as error:
            return [Answer(fail_call(request.query, error.detail, error.status)) for request in requests]
