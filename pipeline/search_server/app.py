"""The retrieval server, as one worker runs it: what it answers to a request, over an engine.

    POST /retrieve       Search-R1's request and response, SkyRL's or ZeroSearch's (questions.py)
    GET  /healthz        that it is up, and which engine it serves; also /health
    GET  /metrics        counts of all workers, in Prometheus's text format
    GET  /openapi.json   the protocol; /docs shows it to people

Every path may be written with surplus slashes, and after `/t/TOKEN` by clients that know nothing but a URL.

Promises: a request that is wrong is answered with what is wrong with it, as JSON, and a query that is wrong costs only
itself; a request that finds the line full is turned away at once with 503 and the seconds to wait; no document is made
up for a search that failed; the token is compared in constant time, and no path that may hold it is logged or repeated.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import unquote_to_bytes

import orjson

from pipeline.search.engine import SearchEngine
from pipeline.search.remote.retrieve_protocol import ENGINE_HEADER
from pipeline.search_server.http_messages import Request, RequestError, Response, Send
from pipeline.search_server.metrics import CODES, Counters
from pipeline.search_server.openapi import draw_page, write_openapi
from pipeline.search_server.query_queue import Found, QueryQueue, QueueFullError
from pipeline.search_server.requests import QueryRequest, read_question
from pipeline.search_server.responses import ReplyWriter
from pipeline.search_server.settings import ServerSettings
from schemas.trajectories import SearchCall, SearchStatus

log = logging.getLogger(__name__)

RETRY_AFTER = b"1"
TEXT, PAGE = b"text/plain; version=0.0.4; charset=utf-8", b"text/html; charset=utf-8"
FAULTS = (SearchStatus.TIMEOUT, SearchStatus.ERROR)

HEALTH = ("/healthz", "/health")
TOKEN_PREFIX = re.compile(r"/+t/([^/]+)(/.*)?", re.DOTALL)
"""A token within a path."""

Handler = Callable[[Request, Send], Response | None]
"""Gives the answer, or none yet: then it is sent later."""


class RetrievalApp:
    """Answers requests by an engine."""

    def __init__(self, engine: SearchEngine, settings: ServerSettings, counters: Counters) -> None:
        self._engine = engine
        self._settings = settings
        self._counters = counters
        self._queue = QueryQueue(engine, settings.queue, settings.gather)
        self._replies = ReplyWriter(engine)
        self._token = settings.token.encode() if settings.token else None
        self._headers = {ENGINE_HEADER.encode(): engine.fingerprint.encode()}
        self._routes: dict[str, tuple[str, Handler]] = {
            "/retrieve": ("POST", self._retrieve),
            **dict.fromkeys(HEALTH, ("GET", self._tell_health)),
            "/metrics": ("GET", self._tell_counts),
            "/openapi.json": ("GET", self._tell_protocol),
            "/docs": ("GET", self._show_protocol),
        }

    def answer(self, request: Request, send: Send) -> None:
        """Send the answer to one request: at once, or when it is found."""
        self._counters.add("in flight")
        try:
            response = self._choose(request)(request, send)
        except Exception as error:
            response = self._explain(error)
        if response is not None:
            self._finish(response, send)

    def _finish(self, response: Response, send: Send) -> None:
        self._counters.add("in flight", -1.0)
        self._counters.put("waiting", self._queue.waiting)
        if response.status in CODES:
            self._counters.add(f"code {response.status}")
        send(response)

    def _explain(self, error: Exception) -> Response:
        if isinstance(error, RequestError):
            return error.response
        if isinstance(error, QueueFullError):
            what = f"{self._queue.waiting} queries wait already; try again"
            return RequestError(503, what, {b"retry-after": RETRY_AFTER}).response
        log.error("a search request failed", exc_info=error)
        return RequestError(500, "the search failed; the server's log says why").response

    def _choose(self, request: Request) -> Handler:
        path, method, token = request.path, request.method, None
        if path not in self._routes:
            path, token = read_path(path)
        if path not in self._routes:
            raise RequestError(404, "nothing is at this path; see /docs")
        allowed, handler = self._routes[path]
        if method != allowed and (method, allowed) != ("HEAD", "GET"):
            raise RequestError(405, f"{path} takes {allowed}", {b"allow": allowed.encode()})
        if self._token and path not in HEALTH:
            self._check_token(self._token, token, request.headers.get(b"authorization", b""))
        return handler

    def _check_token(self, wanted: bytes, in_path: bytes | None, header: bytes) -> None:
        shown = header if in_path is None else b"Bearer " + in_path
        if not hmac.compare_digest(shown, b"Bearer " + wanted):
            what = "a token is needed: `Authorization: Bearer TOKEN`, or /t/TOKEN before the path"
            raise RequestError(401, what, {b"www-authenticate": b"Bearer"})

    def _retrieve(self, request: Request, send: Send) -> Response | None:
        started = asyncio.get_running_loop().time()
        asked = read_question(request.body)
        tell = partial(self._retrieve_later, asked, started, send)
        calls = self._queue.search(asked.searches, asked.k or self._settings.k, tell)
        return None if calls is None else self._write_reply(asked, started, calls)

    def _retrieve_later(self, asked: QueryRequest, started: float, send: Send, found: Found) -> None:
        try:
            if isinstance(found, Exception):
                raise found
            response = self._write_reply(asked, started, found)
        except Exception as error:
            response = self._explain(error)
        self._finish(response, send)

    def _write_reply(self, asked: QueryRequest, started: float, found: Sequence[SearchCall]) -> Response:
        """The reply. Raises RequestError for a failed search, where the reply has no place to tell of it."""
        for call in found:
            self._counters.add(f"status {call.status}")
            self._counters.add("documents", len(call.hits))
        self._counters.add("status refused", len(asked.refused))
        calls = asked.place(found)
        failed = [(i, c.detail) for i, c in enumerate(calls) if c.status in FAULTS and i not in asked.refused]
        if failed and not asked.details:
            raise RequestError(502, f"the search of {len(failed)} queries failed; query {failed[0][0]}: {failed[0][1]}")
        if asked.bare:
            body = self._replies.write_zerosearch(calls[0])
        else:
            body = self._replies.write_result(calls, asked.scores, asked.details, asked.list_errors())
        self._counters.time(asyncio.get_running_loop().time() - started)
        return Response(200, body, headers=self._headers)

    def _tell_health(self, request: Request, send: Send) -> Response:
        return Response(200, orjson.dumps({"status": "ok", "engine": self._engine.fingerprint}))

    def _tell_counts(self, request: Request, send: Send) -> Response:
        return Response(200, self._counters.write().encode(), TEXT)

    def _tell_protocol(self, request: Request, send: Send) -> Response:
        return Response(200, write_openapi(self._settings))

    def _show_protocol(self, request: Request, send: Send) -> Response:
        return Response(200, draw_page(self._settings).encode(), PAGE)


def read_path(path: str) -> tuple[str, bytes | None]:
    """A path without surplus slashes, and the token that stood before it."""
    prefix = TOKEN_PREFIX.fullmatch(path)
    token = unquote_to_bytes(prefix[1]) if prefix else None
    rest = (prefix[2] or "") if prefix else path
    return "/" + "/".join(filter(None, rest.split("/"))), token
