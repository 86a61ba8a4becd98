"""FastAPI application of the paths besides searches, and of the description of the protocol.

    GET /healthz         health, and the engine; also /health
    GET /metrics         counts of all workers, in Prometheus's text format
    GET /openapi.json    the protocol; /docs shows it, with scripts that the browser loads from a public server

Searches and pages of the corpus are described here and answered in app.py: FastAPI's overhead per request exceeds the
time of a search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import Body, Depends, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.search_server.page_requests import AccessBody, ContentBody, FindBody, OpenBody
from pipeline.search_server.requests import RetrieveRequest
from pipeline.search_server.settings import ServerSettings

JSON = "application/json"
HEALTH = ("/healthz", "/health")
DOCUMENT = {"id": "...", "contents": '"Eiffel Tower"\n...', "url": "page://9232"}
RETRIEVE_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "Search-R1": (
        {"queries": ["Who designed the Eiffel Tower?"], "topk": 3, "return_scores": True},
        {"result": [[{"document": DOCUMENT, "score": 11.5}]]},
    ),
    "Search-R1, one of its queries wrong": (
        {"queries": ["Who designed the Eiffel Tower?", 7], "topk": 3},
        {"result": [[DOCUMENT], []], "errors": [None, "a query is text, ..."]},
    ),
    "ASearcher": (
        {"queries": ["Who designed the Eiffel Tower?"], "topk": 3, "return_scores": False},
        {"result": [[DOCUMENT]]},
    ),
    "SkyRL": (
        {"query": "Who designed the Eiffel Tower?", "topk": 3, "return_scores": True},
        {"result": [[{"document": DOCUMENT, "score": 11.5}]]},
    ),
    "ZeroSearch": (
        {"query": "Who designed the Eiffel Tower?", "top_k": 5},
        [{"id": "...", "title": "Eiffel Tower", "text": "...", "score": 11.5}],
    ),
}
SEARCH_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "ReSearch, ReCall": (
        {"query": "Who designed the Eiffel Tower?", "top_n": 5, "return_score": False},
        [{"id": "...", "contents": "..."}],
    ),
    "OpenResearcher": (
        {"query": "Who designed the Eiffel Tower?", "topn": 5},
        [{"docid": "...", "url": "page://9232", "score": 11.5, "text": "..."}],
    ),
    "Serper": (
        {"q": "Who designed the Eiffel Tower?", "num": 5},
        {"organic": [{"title": "Eiffel Tower", "link": "page://9232", "snippet": "...", "position": 1}]},
    ),
}
BATCH_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "ReSearch": ({"query": ["Who designed the Eiffel Tower?"], "top_n": 5}, [[{"id": "...", "contents": "..."}]]),
}
QUERIES_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "R1-Searcher": (
        {"queries": ["Who designed the Eiffel Tower?"], "k": 5},
        {"queries": ["Who designed the Eiffel Tower?"], "answers": [["id contents"]]},
    ),
}
OPEN_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "a section": (
        {"page": "Eiffel Tower", "section": "Design", "max_chars": 2000},
        {"status": "ok", "page_id": 9232, "title": "Eiffel Tower", "text": "...", "cursor": 4, "next_cursor": 9},
    ),
}
FIND_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "a name": (
        {"page": "page://9232", "text": "Koechlin"},
        {"status": "ok", "count": 1, "matches": [{"passage_id": "...", "cursor": 4, "snippet": "... Koechlin ..."}]},
    ),
}
ACCESS_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "ASearcher": ({"urls": ["page://9232", "page://0"]}, {"result": [{"contents": "...", "url": "page://9232"}, None]}),
}
CONTENT_EXAMPLES: dict[str, tuple[Any, Any]] = {
    "OpenResearcher": ({"url": "page://9232"}, {"url": "page://9232", "title": "Eiffel Tower", "content": "..."}),
}
DESCRIBED: dict[str, tuple[type[BaseModel], str, dict[str, tuple[Any, Any]]]] = {
    "/retrieve": (
        RetrieveRequest,
        "Search. Documents come best first; a query that nothing is found for has none.",
        RETRIEVE_EXAMPLES,
    ),
    "/search": (RetrieveRequest, "Search for one query, `query` or `q`.", SEARCH_EXAMPLES),
    "/batch_search": (RetrieveRequest, "Search for a list of queries, `query`.", BATCH_EXAMPLES),
    "/queries": (RetrieveRequest, "Search for a list of queries.", QUERIES_EXAMPLES),
    "/open": (OpenBody, "Open a page, or a section of it, part by part.", OPEN_EXAMPLES),
    "/find": (FindBody, "Find a string in a page.", FIND_EXAMPLES),
    "/access": (AccessBody, "Open pages by address, each as a whole.", ACCESS_EXAMPLES),
    "/get_content": (ContentBody, "Open a page by address, as a whole.", CONTENT_EXAMPLES),
}
"""Body, summary, and by the name of a client request and reply of each path."""
FAULTS = {
    400: "The body is not JSON.",
    403: "Sources are hidden by task, and no task of the run is named, by `x-rampforge-task` or `?task=`.",
    401: "The token is missing or wrong: `Authorization: Bearer TOKEN`, or in the path, as /t/TOKEN/retrieve.",
    413: "The body is too long.",
    422: "A field is missing or out of bounds; `error` names it. Unknown fields are ignored. A query that is wrong by "
    "itself (no text, empty, too long, half of a surrogate pair) has no documents and a reason in `errors`, and the "
    "rest of its batch is answered.",
    502: "The engine could not search for a query.",
    503: "Too many queries wait: come back after `Retry-After` seconds.",
}


class Fault(BaseModel):
    """The body of every reply that is not 200."""

    error: str


class Health(BaseModel):
    """The body of GET /healthz."""

    status: str
    engine: str
    """The fingerprint of the engine."""


def make_pages(settings: ServerSettings, fingerprint: str, registry: CollectorRegistry) -> FastAPI:
    """The application."""
    pages = FastAPI(
        title="rampforge search",
        version="1",
        description=f"{settings.k} documents by default.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _explain},
    )
    guarded = [Depends(HTTPBearer(auto_error=False))] if settings.token else []
    faults: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "model": Fault} for code, text in FAULTS.items()
    }
    for path, (body, summary, examples) in DESCRIBED.items():
        replies = {name: {"value": reply} for name, (_, reply) in examples.items()}
        found = {"description": "Found.", "content": {JSON: {"examples": replies}}}
        add = pages.post(path, dependencies=guarded, responses=faults | {200: found}, summary=summary)
        add(_describe(body, {name: {"value": asked} for name, (asked, _) in examples.items()}))

    @pages.get("/health", include_in_schema=False)
    @pages.get("/healthz")
    async def health() -> Health:
        """That a worker answers, and the fingerprint of the engine it serves. Needs no token. /health too."""
        return Health(status="ok", engine=fingerprint)

    @pages.get("/metrics", dependencies=guarded, response_class=Response)
    async def metrics() -> Response:
        """Counts of all workers, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    @pages.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="openapi.json", title=pages.title)

    return pages


def _describe(body: type[BaseModel], examples: dict[str, Any]) -> Callable[..., Any]:
    """An endpoint that is described and never called."""

    async def endpoint(request: Any) -> Any:
        raise NotImplementedError

    endpoint.__annotations__["request"] = Annotated[body, Body(openapi_examples=examples)]
    return endpoint


def write_error(error: HTTPException) -> Response:
    """The reply of a refused request."""
    return Response(orjson.dumps({"error": error.detail}), error.status_code, error.headers, JSON)


async def _explain(request: Request, error: HTTPException) -> Response:
    return write_error(error)
