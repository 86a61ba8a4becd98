"""ASGI application of a retrieval server's worker.

    POST /retrieve, /search, /batch_search, /queries   searches, in the forms of the field's servers (requests.py)
    POST /open, /find, /access, /get_content           pages of the corpus (page_requests.py)
    POST /mcp                                          the Model Context Protocol (mcp_tools.py)
    everything else                                    pages.py

Every path may have surplus slashes, and the prefix `/t/TOKEN` for clients that accept only a URL. A task is named by
the header `x-rampforge-task`, or by `?task=` in the URL.

Guarantees: an invalid request is answered with the reason, as JSON, and an invalid query refuses only itself; no body
is read before the token is checked, nor beyond the limit; when the queue is full a request is refused at once with 503
and the seconds to wait; a failed search never has documents; where sources are hidden by task, a request without a
known task is refused; the token is compared in constant time, and no path, which
may contain it, is logged.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import unquote, unquote_to_bytes

import orjson
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pipeline.errors import SearchError
from pipeline.search.copy_hiding import CopyHidingEngine
from pipeline.search.engine import SearchEngine
from pipeline.search.index.passage_store import KIND, PassageStore
from pipeline.search.page_reader import PageReader
from pipeline.search.remote.retrieve_protocol import ENGINE_HEADER
from pipeline.search_server.mcp_tools import open_tools
from pipeline.search_server.metrics import Metrics
from pipeline.search_server.page_requests import PAGE_PATHS, answer_page_request
from pipeline.search_server.pages import HEALTH, JSON, make_pages, write_error
from pipeline.search_server.query_queue import Outcome, QueryQueue, QueueFullError
from pipeline.search_server.requests import SEARCH_PATHS, Exclusion, QueryRequest, read_request
from pipeline.search_server.responses import ReplyWriter
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.task_sources import NoTaskError, TaskSources, list_tasks
from schemas.trajectories import SearchCall, SearchStatus

log = logging.getLogger(__name__)

RETRY_AFTER = "1"
FAILED = (SearchStatus.TIMEOUT, SearchStatus.ERROR)
RETRIEVE = "/retrieve"
MCP_PATH = "/mcp"
TOKEN_PREFIX = re.compile(r"/+t/([^/]+)(/.*)?", re.DOTALL)
"""A token within a path."""


class EarlyRefusalError(HTTPException):
    """A refusal before the end of the request's body."""


class RetrievalApp:
    """The application over an engine."""

    def __init__(
        self, engine: SearchEngine, settings: ServerSettings, metrics: Metrics, registry: CollectorRegistry
    ) -> None:
        """`registry`: the source of /metrics."""
        self._settings = settings
        self._metrics = metrics
        self._hiding = CopyHidingEngine(engine)
        searched = self._hiding if settings.open_sources else engine
        self._queue = QueryQueue(searched, settings.queue, settings.gather)
        self._replies = ReplyWriter(engine)
        self._token = settings.token.encode() if settings.token else None
        self._headers = {ENGINE_HEADER: engine.fingerprint}
        self._pages = make_pages(settings, engine.fingerprint, registry)
        self._reader = PageReader(PassageStore(settings.index / KIND)) if settings.index else None
        # One thread: a page may be long, and each further reader would take its share of the core from the searches.
        self._page_thread = ThreadPoolExecutor(1)
        self._page_requests = 0
        self._sources = TaskSources(settings.open_sources() if settings.open_sources else None)
        self._tools = open_tools(searched, self._reader, self._sources, settings) if self._reader else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve the Model Context Protocol inside the block."""
        if self._tools is None:
            yield
            return
        async with self._tools.running():
            yield

    @property
    def waiting(self) -> int:
        """Queued queries."""
        return self._queue.waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def count_and_send(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in self._metrics.requests:
                self._metrics.requests[message["status"]].inc()
            await send(message)

        try:
            path = self._authorize(scope)
            if path == MCP_PATH and self._tools is not None:
                await self._tools.answer({**scope, "path": path}, receive, count_and_send)
                return
            response = await self._answer(path, scope, receive) if scope["method"] == "POST" else None
        except ClientDisconnect:
            return
        except EarlyRefusalError as error:
            await send_early(write_error(error), receive, count_and_send)
            return
        except Exception as error:
            response = self._explain(error)
        if response is not None:
            await response(scope, receive, count_and_send)
        else:
            # uvicorn omits the body of a reply to HEAD.
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            await self._pages({**scope, "path": path, "method": method}, receive, count_and_send)

    def _explain(self, error: Exception) -> Response:
        if isinstance(error, QueueFullError):
            what = f"{self.waiting} queries and {self._page_requests} requests of pages wait already; try again"
            error = HTTPException(503, what, {"retry-after": RETRY_AFTER})
        elif not isinstance(error, HTTPException):
            log.error("a search request failed", exc_info=error)
            error = HTTPException(500, "the search failed; the server's log says why")
        return write_error(error)

    def _authorize(self, scope: Scope) -> str:
        """The path, without a token. Raises HTTPException for a missing or wrong token."""
        path, token = read_path(scope["raw_path"].decode("latin-1"))
        if self._token and path not in HEALTH:
            sent = dict(scope["headers"]).get(b"authorization", b"") if token is None else b"Bearer " + token
            if not hmac.compare_digest(sent, b"Bearer " + self._token):
                what = "a token is needed: `Authorization: Bearer TOKEN`, or /t/TOKEN before the path"
                raise EarlyRefusalError(401, what, {"www-authenticate": "Bearer"})
        return path

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Response | None:
        """The reply to a search or a request of a page; None for another path. Raises HTTPException."""
        if path in SEARCH_PATHS:
            withheld = self._find_source(scope)
            return await self._retrieve(path, withheld, await read_body(scope, receive, self._settings.max_body))
        if path in PAGE_PATHS:
            withheld = self._find_source(scope)
            return await self._read_page(path, withheld, await read_body(scope, receive, self._settings.max_body))
        return None

    def _find_source(self, scope: Scope) -> Exclusion | None:
        """What is hidden from the task that a request names. Raises HTTPException."""
        try:
            source = self._sources.find(list_tasks(scope))
            if source is not None:
                self._hiding.read_source(source.passage_id)
        except NoTaskError as error:
            raise EarlyRefusalError(403, str(error)) from None
        except SearchError:
            what = "the source of the task is not in the index, so copies of it cannot be hidden"
            raise EarlyRefusalError(403, what) from None
        return source

    async def _read_page(self, path: str, withheld: Exclusion | None, body: bytes) -> Response:
        if self._reader is None:
            raise HTTPException(404, "this engine has no pages to open, only passages to search for")
        if self._page_requests >= self._settings.queue:
            raise QueueFullError
        self._page_requests += 1
        answer = partial(answer_page_request, self._reader, path, body, withheld)
        try:
            reply = await asyncio.get_running_loop().run_in_executor(self._page_thread, answer)
        finally:
            self._page_requests -= 1
        return Response(orjson.dumps(reply), headers=self._headers, media_type=JSON)

    async def _retrieve(self, path: str, withheld: Exclusion | None, body: bytes) -> Response:
        loop = asyncio.get_running_loop()
        started = loop.time()
        request = read_request(body, path, withheld)
        queued: asyncio.Future[list[SearchCall]] = loop.create_future()
        calls = self._queue.search(request.searches, request.k or self._settings.k, partial(settle, queued))
        response = self._write_reply(request, await queued if calls is None else calls)
        self._metrics.seconds.observe(loop.time() - started)
        return response

    def _write_reply(self, request: QueryRequest, searched: Sequence[SearchCall]) -> Response:
        """The reply. Raises HTTPException for a failed search that the reply cannot report."""
        for call in searched:
            self._metrics.queries[call.status].inc()
            self._metrics.documents.inc(len(call.hits))
        if request.refused:
            self._metrics.queries["refused"].inc(len(request.refused))
        calls = request.merge(searched)
        failed = [(i, c.detail) for i, c in enumerate(calls) if c.status in FAILED and i not in request.refused]
        if failed and not request.details:
            what = f"the search of {len(failed)} queries failed; query {failed[0][0]}: {failed[0][1]}"
            raise HTTPException(502, what)
        return Response(self._replies.write(request, calls), headers=self._headers, media_type=JSON)


def settle(queued: asyncio.Future[list[SearchCall]], outcome: Outcome) -> None:
    """Set a future to an outcome, unless it was cancelled."""
    if not queued.done():
        if isinstance(outcome, Exception):
            queued.set_exception(outcome)
        else:
            queued.set_result(outcome)


def read_path(path: str) -> tuple[str, bytes | None]:
    """A path without surplus slashes and token prefix, and the token."""
    if path == RETRIEVE:
        return path, None
    prefix = TOKEN_PREFIX.fullmatch(path)
    token = unquote_to_bytes(prefix[1]) if prefix else None
    rest = unquote((prefix[2] or "") if prefix else path)
    return "/" + "/".join(filter(None, rest.split("/"))), token


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request. Raises HTTPException for one longer than `limit` bytes, ClientDisconnect."""
    announced = int(dict(scope["headers"]).get(b"content-length", b"0"))
    body, more = bytearray(), True
    while True:
        if max(announced, len(body)) > limit:
            raise (EarlyRefusalError if more else HTTPException)(413, f"the request is longer than {limit:,} bytes")
        if not more:
            return bytes(body)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message["body"]
        more = message["more_body"]


async def send_early(response: Response, receive: Receive, send: Send) -> None:
    """Answer a request before the end of its body, then discard the body: closing the connection earlier would reset
    it, and the client might not read the reply."""
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.body"})
