"""Protocols of the field's retrieval servers, as the engine `http` speaks them: a row each.

search-r1        POST /retrieve      {"queries", "topk", "return_scores"} -> {"result": [[...], ...]}
zerosearch       POST /retrieve      {"query", "top_k"} -> [...]
skyrl            POST /retrieve      {"query", "topk", "return_scores"} -> {"result": [[...]]}
research         POST /batch_search  {"query": [...], "top_n", "return_score"} -> [[[...], ...], [scores, ...]]
r1-searcher      POST /queries       {"queries", "k"} -> {"answers": [["id text", ...], ...]}
open-researcher  POST /search        {"query", "topn"} -> [{"docid", "text", "score"}, ...]
asearcher        as search-r1, without scores
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.search.engine import Answer, SearchRequest
from pipeline.search.remote.retrieve_protocol import (
    parse_reply,
    read_documents,
    read_result,
    write_exclusion,
)
from pipeline.search.remote.service import UnreadableSearchReplyError
from schemas.search_config import HttpProtocol

QUERIES_PER_REQUEST = 32
"""Few enough that the workers of a server share the queries of one step."""
SEARCH_PATHS = ("/retrieve", "/batch_search", "/queries", "/search")
TITLE_LINE = re.compile(r'"[^\n]*"\n')

Queries = Sequence[str]


@dataclass(frozen=True, slots=True)
class ServerProtocol:
    """A protocol."""

    path: str
    write: Callable[[Queries, int], dict[str, Any]]
    """The body that asks for k documents of each query."""
    read: Callable[[Any, Queries, int], list[Answer]]
    """The answers in a reply. Raises UnreadableSearchReplyError."""
    batch: int = 1
    """Queries of a request."""


def write_request(protocol: HttpProtocol, requests: Sequence[SearchRequest], k: int, own_server: bool) -> bytes:
    """The body of a request. `own_server`: for a rampforge server, which hides sources."""
    body = PROTOCOLS[protocol].write([request.query for request in requests], k)
    if own_server:
        body |= {"details": True, "exclude": [write_exclusion(request) for request in requests]}
    return orjson.dumps(body)


def read_reply(protocol: HttpProtocol, content: bytes, requests: Sequence[SearchRequest], k: int) -> list[Answer]:
    """The answers in a reply. Raises UnreadableSearchReplyError."""
    return PROTOCOLS[protocol].read(parse_reply(content), [request.query for request in requests], k)


def locate_server(url: str) -> str:
    """The address of a server, given its own or that of one of its paths."""
    url = url.rstrip("/")
    return next((url.removesuffix(path) for path in SEARCH_PATHS if url.endswith(path)), url)


def _read_list(reply: Any, queries: Queries, k: int) -> list[Answer]:
    return [read_documents(queries[0], reply, k, None)]


def _read_open_researcher(reply: Any, queries: Queries, k: int) -> list[Answer]:
    """A text that begins with a line in quotes has its title there."""
    documents = reply if isinstance(reply, list) else None
    for document in documents or ():
        text = document.get("text") if isinstance(document, dict) else None
        if isinstance(text, str) and TITLE_LINE.match(text):
            document["contents"] = document.pop("text")
    return _read_list(reply, queries, k)


def _read_research(reply: Any, queries: Queries, k: int) -> list[Answer]:
    """Lists of documents beside lists of scores; a server that knows no scores sends the former alone."""
    lists, scores = reply, None
    if isinstance(reply, list) and len(reply) == 2 and _are_scores(reply[1]):
        lists, scores = reply
    if not isinstance(lists, list) or len(lists) != len(queries):
        raise UnreadableSearchReplyError(f"the reply holds no lists of documents for {len(queries)} queries")
    if scores is not None:
        lists = [_add_scores(documents, some) for documents, some in zip(lists, scores, strict=False)]
    return [read_documents(query, documents, k, None) for query, documents in zip(queries, lists, strict=True)]


def _are_scores(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(some, list) and all(isinstance(score, int | float) for score in some) for some in value
    )


def _add_scores(documents: Any, scores: Sequence[float]) -> Any:
    if not isinstance(documents, list) or len(documents) != len(scores):
        raise UnreadableSearchReplyError("the reply holds other scores than documents")
    return [{"document": document, "score": score} for document, score in zip(documents, scores, strict=True)]


def _read_r1_searcher(reply: Any, queries: Queries, k: int) -> list[Answer]:
    lists = reply.get("answers") if isinstance(reply, dict) else None
    if not isinstance(lists, list) or len(lists) != len(queries):
        raise UnreadableSearchReplyError(f"the reply holds no `answers` for {len(queries)} queries")
    return [read_documents(q, _split_ids(texts), k, None) for q, texts in zip(queries, lists, strict=True)]


def _split_ids(texts: Any) -> Any:
    """Documents of texts that begin with their ids."""
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UnreadableSearchReplyError("a query's documents are not a list of texts")
    parts = [text.partition(" ") for text in texts]
    return [{"id": name, "contents": contents or name} for name, _, contents in parts]


def _write_search_r1(queries: Queries, k: int) -> dict[str, Any]:
    return {"queries": list(queries), "topk": k, "return_scores": True}


PROTOCOLS = {
    HttpProtocol.SEARCH_R1: ServerProtocol("/retrieve", _write_search_r1, read_result, QUERIES_PER_REQUEST),
    HttpProtocol.ASEARCHER: ServerProtocol(
        "/retrieve", lambda q, k: _write_search_r1(q, k) | {"return_scores": False}, read_result, QUERIES_PER_REQUEST
    ),
    HttpProtocol.ZEROSEARCH: ServerProtocol("/retrieve", lambda q, k: {"query": q[0], "top_k": k}, _read_list),
    HttpProtocol.SKYRL: ServerProtocol(
        "/retrieve", lambda q, k: {"query": q[0], "topk": k, "return_scores": True}, read_result
    ),
    HttpProtocol.RESEARCH: ServerProtocol(
        "/batch_search",
        lambda q, k: {"query": list(q), "top_n": k, "return_score": True},
        _read_research,
        QUERIES_PER_REQUEST,
    ),
    HttpProtocol.R1_SEARCHER: ServerProtocol(
        "/queries", lambda q, k: {"queries": list(q), "k": k}, _read_r1_searcher, QUERIES_PER_REQUEST
    ),
    HttpProtocol.OPEN_RESEARCHER: ServerProtocol(
        "/search", lambda q, k: {"query": q[0], "topn": k}, _read_open_researcher
    ),
}
