"""The protocol, told to machines (OpenAPI) and to people: a page that needs nothing from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from jinja2 import Environment

from pipeline.search_server.requests import RetrieveRequest
from pipeline.search_server.settings import ServerSettings

SCHEMAS = "#/components/schemas/"
EXAMPLES: dict[str, tuple[Any, Any]] = {
    "Search-R1": (
        {"queries": ["Who designed the Eiffel Tower?"], "topk": 3, "return_scores": True},
        {"result": [[{"document": {"id": "...", "contents": '"Eiffel Tower"\n...'}, "score": 11.5}]]},
    ),
    "Search-R1, one of its queries wrong": (
        {"queries": ["Who designed the Eiffel Tower?", 7], "topk": 3},
        {"result": [[{"id": "...", "contents": '"Eiffel Tower"\n...'}], []], "errors": [None, "a query is text, ..."]},
    ),
    "SkyRL": (
        {"query": "Who designed the Eiffel Tower?", "topk": 3, "return_scores": True},
        {"result": [[{"document": {"id": "...", "contents": '"Eiffel Tower"\n...'}, "score": 11.5}]]},
    ),
    "ZeroSearch": (
        {"query": "Who designed the Eiffel Tower?", "top_k": 5},
        [{"id": "...", "title": "Eiffel Tower", "text": "...", "score": 11.5}],
    ),
}
"""How each protocol asks, and what it gets."""
PATHS = {
    "/retrieve": ("post", "Search. Documents come best first; a query that nothing is found for has none."),
    "/healthz": (
        "get",
        "That a worker answers, and the fingerprint of the engine it serves. Needs no token. /health too.",
    ),
    "/metrics": ("get", "Counts of all workers, for Prometheus."),
    "/openapi.json": ("get", "This protocol."),
    "/docs": ("get", "This protocol, to read."),
}
FAULTS = {
    400: "The body is not JSON.",
    401: "The token is missing or wrong: `Authorization: Bearer TOKEN`, or in the path, as /t/TOKEN/retrieve.",
    413: "The body is too long.",
    422: "A field is missing or out of bounds; `error` names it. Unknown fields are ignored. A query that is wrong by "
    "itself (no text, empty, too long, half of a surrogate pair) has no documents and a reason in `errors`, and the "
    "rest of its batch is answered.",
    502: "The engine could not search for a query.",
    503: "Too many queries wait: come back after `Retry-After` seconds.",
}


@lru_cache(maxsize=4)
def write_openapi(settings: ServerSettings) -> bytes:
    """The OpenAPI 3.1 document."""
    return orjson.dumps(describe_protocol(settings), option=orjson.OPT_INDENT_2)


def describe_protocol(settings: ServerSettings) -> dict[str, Any]:
    """The OpenAPI 3.1 document, as values."""
    schema = RetrieveRequest.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas = schema.pop("$defs", {}) | {RetrieveRequest.__name__: schema}
    paths = {path: {method: {"summary": text, "responses": _describe_ok()}} for path, (method, text) in PATHS.items()}
    paths["/retrieve"]["post"] |= {"requestBody": _describe_request(), "responses": _describe_replies()}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "rampforge search", "version": "1", "description": f"{settings.k} documents by default."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if settings.token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _describe_ok() -> dict[str, Any]:
    return {"200": {"description": "Done."}}


def _describe_request() -> dict[str, Any]:
    ref = {"$ref": SCHEMAS + RetrieveRequest.__name__}
    examples = {name: {"value": request} for name, (request, _) in EXAMPLES.items()}
    return {"required": True, "content": {"application/json": {"schema": ref, "examples": examples}}}


def _describe_replies() -> dict[str, Any]:
    examples = {name: {"value": reply} for name, (_, reply) in EXAMPLES.items()}
    faults = {str(code): {"description": text} for code, text in FAULTS.items()}
    return {"200": {"description": "Found.", "content": {"application/json": {"examples": examples}}}, **faults}


@lru_cache(maxsize=4)
def draw_page(settings: ServerSettings) -> str:
    """The page at /docs."""
    template = Path(__file__).with_name("protocol.html").read_text(encoding="utf-8")
    examples = [
        {"name": name, "request": _show(request), "reply": _show(reply)} for name, (request, reply) in EXAMPLES.items()
    ]
    page = Environment(autoescape=True).from_string(template)
    return page.render(protocol=describe_protocol(settings), examples=examples, faults=FAULTS)


def _show(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
