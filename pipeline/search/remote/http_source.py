"""Search by a server that speaks POST /retrieve: one of ours, Search-R1's, ZeroSearch's, or their kin.

Promises: what fails becomes a status; a server of ours hides sources itself and is held to the index it had when it was
opened: an answer from another index is an error, not a result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pipeline.search.engine import Answer, SearchRequest, fail_call
from pipeline.search.queries import check_query, make_call
from pipeline.search.remote.retrieve_protocol import (
    ENGINE_HEADER,
    MAX_K,
    read_search_r1,
    read_zerosearch,
    write_search_r1,
    write_zerosearch,
)
from pipeline.search.remote.service import FailedCallError, HttpRequest, SearchService, ServiceReply
from schemas.record import content_id
from schemas.search_config import HttpProtocol
from schemas.trajectories import HideMode, SearchStatus

PIECE = 32
"""Queries sent together: few enough that the workers of a server share the queries of one step."""


@dataclass(frozen=True, slots=True)
class ServerAbout:
    """What is known of a server before it is asked."""

    url: str
    """Where it listens."""
    protocol: HttpProtocol
    """What it speaks."""
    engine: str | None = None
    """Fingerprint of its engine, when it is one of ours."""

    @property
    def hides(self) -> bool:
        """Whether it hides sources by itself."""
        return self.engine is not None and self.protocol is HttpProtocol.SEARCH_R1


class HttpSource:
    """A PassageSource behind a URL."""

    def __init__(self, service: SearchService, about: ServerAbout, token: str | None = None) -> None:
        self._service = service
        self._about = about
        self._url = about.url.rstrip("/").removesuffix("/retrieve") + "/retrieve"
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"

    @property
    def hides(self) -> bool:
        """Whether the server hides sources by itself."""
        return self._about.hides

    @property
    def fingerprint(self) -> str:
        """That of the engine behind a server of ours; of another all that is known is where it is."""
        return self._about.engine or content_id("http", self._about.protocol, self._url)

    def identify(self, request: SearchRequest) -> list[str | int | None]:
        """The query, and what the server hides."""
        if not self.hides or request.hide is HideMode.NONE:
            return [request.query]
        return [request.query, request.passage_id, request.page_id if request.hide is HideMode.PAGE else None]

    async def find(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        """Answer every request with at most k passages, best first."""
        answers: dict[int, Answer] = {}
        owed: dict[int, SearchRequest] = {}
        for i, request in enumerate(requests):
            query, refused = check_query(request, k)
            if refused is not None or not query.strip():
                answers[i] = Answer(refused or make_call(query, ()))
            else:
                owed[i] = replace(request, query=query)
        size = PIECE if self._about.protocol is HttpProtocol.SEARCH_R1 else 1
        waiting = list(owed.values())
        pieces = [waiting[start : start + size] for start in range(0, len(waiting), size)]
        found = await asyncio.gather(*(self._ask(piece, min(k, MAX_K)) for piece in pieces))
        answers |= zip(owed, chain.from_iterable(found), strict=True)
        return [answers[i] for i in range(len(requests))]

    async def close(self) -> None:
        """Give up the connections."""
        await self._service.close()

    async def _ask(self, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
        def read(reply: ServiceReply) -> list[Answer]:
            served = reply.headers.get(ENGINE_HEADER)
            if served != self._about.engine:
                raise FailedCallError(SearchStatus.ERROR, f"the server now serves another index ({served})")
            if self._about.protocol is HttpProtocol.ZEROSEARCH:
                return [read_zerosearch(reply.content, requests[0], k)]
            return read_search_r1(reply.content, requests, k)

        try:
            return await self._service.call(
                HttpRequest("POST", self._url, body=self._write(requests, k), headers=self._headers), read
            )
        except FailedCallError as error:
            return [Answer(fail_call(request.query, error.detail, error.status)) for request in requests]

    def _write(self, requests: Sequence[SearchRequest], k: int) -> bytes:
        if self._about.protocol is HttpProtocol.ZEROSEARCH:
            return write_zerosearch(requests[0], k)
        return write_search_r1(requests, k, self.hides)
