"""The retrieval server, as one worker runs it: what it answers to a request, over an engine.

    POST /retrieve       Search-R1's request and response, or ZeroSearch's (retrieve_wire.py)
    GET  /healthz        that it is up, and which engine it serves
    GET  /metrics        counts of all workers, in Prometheus's text format
    GET  /openapi.json   the protocol; /docs shows it to people

Promises: a request that is wrong is answered with what is wrong with it, as JSON; one that finds the line full is
turned away at once with 503 and the seconds to wait; no document is made up for a search that failed; the token is
compared in constant time and never shown.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence

import orjson
from pydantic import ValidationError

from pipeline.search.engine import SearchEngine, SearchRequest
from pipeline.search.retrieve_wire import ENGINE_HEADER, RetrieveRequest, ZeroRequest, read_requests
from pipeline.search_server.counters import CODES, Counters
from pipeline.search_server.http_messages import Request, RequestError, Response
from pipeline.search_server.protocol_page import draw_page, write_openapi
from pipeline.search_server.query_queue import QueryQueue, QueueFullError
from pipeline.search_server.reply_writer import ReplyWriter
from pipeline.search_server.settings import ServerSettings
from schemas.trajectories import SearchCall, SearchStatus

log = logging.getLogger(__name__)

RETRY_AFTER = b"1"
TEXT, PAGE = b"text/plain; version=0.0.4; charset=utf-8", b"text/html; charset=utf-8"
FAULTS = (SearchStatus.TIMEOUT, SearchStatus.ERROR)

Handler = Callable[[Request], Awaitable[Response]]


class RetrievalApp:
    """Answers requests by an engine."""

    def __init__(self, engine: SearchEngine, settings: ServerSettings, counters: Counters) -> None:
        self._engine = engine
        self._settings = settings
        self._counters = counters
        self._queue = QueryQueue(engine, settings.queue, settings.gather)
        self._replies = ReplyWriter(engine)
        self._token = f"Bearer {settings.token}".encode() if settings.token else None
        self._headers = {ENGINE_HEADER.encode(): engine.fingerprint.encode()}
        self._routes: dict[str, tuple[str, Handler]] = {
            "/retrieve": ("POST", self._retrieve),
            "/healthz": ("GET", self._tell_health),
            "/metrics": ("GET", self._tell_counts),
            "/openapi.json": ("GET", self._tell_protocol),
            "/docs": ("GET", self._show_protocol),
        }

    async def answer(self, request: Request) -> Response:
        """The answer to one request."""
        self._counters.add("in flight")
        try:
            response = await self._choose(request)(request)
        except RequestError as error:
            response = error.response
        except QueueFullError:
            what = f"{self._queue.waiting} queries wait already; try again"
            response = RequestError(503, what, {b"retry-after": RETRY_AFTER}).response
        except Exception:
            log.exception("a search request failed")
            response = RequestError(500, "the search failed; the server's log says why").response
        finally:
            self._counters.add("in flight", -1.0)
            self._counters.put("waiting", self._queue.waiting)
        if response.status in CODES:
            self._counters.add(f"code {response.status}")
        return response

    def _choose(self, request: Request) -> Handler:
        path, method = request.path, request.method
        if path not in self._routes:
            raise RequestError(404, f"nothing is at {path[:100]}; see /docs")
        allowed, handler = self._routes[path]
        if method != allowed and (method, allowed) != ("HEAD", "GET"):
            raise RequestError(405, f"{path} takes {allowed}", {b"allow": allowed.encode()})
        if self._token and path != "/healthz":
            shown = request.headers.get(b"authorization", b"")
            if not hmac.compare_digest(shown, self._token):
                raise RequestError(
                    401, "a token is needed: Authorization: Bearer ...", {b"www-authenticate": b"Bearer"}
                )
        return handler

    async def _retrieve(self, request: Request) -> Response:
        time = asyncio.get_running_loop().time
        started = time()
        asked = read_question(request.body)
        if isinstance(asked, ZeroRequest):
            (call,) = await self._search([SearchRequest(asked.query)], asked.top_k, tell_faults=False)
            body = self._replies.write_zerosearch(call)
        else:
            calls = await self._search(_read_searches(asked), asked.topk, asked.details)
            body = self._replies.write_result(calls, asked.return_scores, asked.details)
        self._counters.time(time() - started)
        return Response(200, body, headers=self._headers)

    async def _search(self, requests: Sequence[SearchRequest], k: int | None, tell_faults: bool) -> list[SearchCall]:
        """The calls. Raises RequestError for a failed one, where the reply has no place to tell of it."""
        calls = await self._queue.search(requests, k or self._settings.k)
        for call in calls:
            self._counters.add(f"status {call.status}")
            self._counters.add("documents", len(call.hits))
        failed = [(i, call.detail) for i, call in enumerate(calls) if call.status in FAULTS]
        if failed and not tell_faults:
            raise RequestError(502, f"the search of {len(failed)} queries failed; query {failed[0][0]}: {failed[0][1]}")
        return calls

    async def _tell_health(self, request: Request) -> Response:
        return Response(200, orjson.dumps({"status": "ok", "engine": self._engine.fingerprint}))

    async def _tell_counts(self, request: Request) -> Response:
        return Response(200, self._counters.write().encode(), TEXT)

    async def _tell_protocol(self, request: Request) -> Response:
        return Response(200, write_openapi(self._settings))

    async def _show_protocol(self, request: Request) -> Response:
        return Response(200, draw_page(self._settings).encode(), PAGE)


def read_question(body: bytes) -> RetrieveRequest | ZeroRequest:
    """What is asked. Raises RequestError that says what is wrong with it."""
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is not JSON: {error}") from None
    if not isinstance(asked, dict) or ("queries" in asked) == ("query" in asked):
        raise RequestError(422, "the body is an object with `queries` (Search-R1) or `query` (ZeroSearch)")
    model = RetrieveRequest if "queries" in asked else ZeroRequest
    try:
        return model.model_validate(asked)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        where = ".".join(map(str, faults[0]["loc"]))
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise RequestError(422, f"{where}: {faults[0]['msg']}{more}") from None


def _read_searches(asked: RetrieveRequest) -> list[SearchRequest]:
    try:
        return read_requests(asked)
    except ValueError as error:
        raise RequestError(422, str(error)) from None
