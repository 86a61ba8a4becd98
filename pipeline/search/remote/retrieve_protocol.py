"""The protocol of retrieval servers: POST /retrieve, of Search-R1 and of ZeroSearch.

    Search-R1   {"queries", "topk", "return_scores"}
                -> {"result": [[{"document": {"id", "contents"}, "score"}, ...], ...]}
                without scores the lists contain the documents themselves; contents are `"title"\\ntext`
    ZeroSearch  {"query", "top_k"}
                -> [{"id", "title", "text", "score"}, ...]

Rampforge's server takes three more fields: `exclude`, the source to hide from each query; `details`, which adds the
status of each query and the parts of each document; and `progress` of a training.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from pipeline.search.engine import Answer, FoundPassage, SearchRequest, fail_call, make_call
from pipeline.search.remote.service import UnreadableSearchReplyError
from schemas.record import content_id
from schemas.trajectories import HideMode, Hit, SearchStatus

MAX_K = 1000
ENGINE_HEADER = "x-rampforge-engine"
"""Header with the fingerprint of the answering engine."""


def write_contents(passage: FoundPassage) -> str:
    """A passage in the form of Search-R1's corpora."""
    return f'"{passage.title}"\n{passage.text}'


def write_exclusion(request: SearchRequest) -> dict[str, str | int | None] | None:
    """What a rampforge server is to hide from a query."""
    if request.hide is HideMode.NONE:
        return None
    page_id = request.page_id if request.hide is HideMode.PAGE else None
    return {"passage_id": request.passage_id, "page_id": page_id}


def read_result(reply: Any, queries: Sequence[str], k: int) -> list[Answer]:
    """The answers in Search-R1's reply. Raises UnreadableSearchReplyError."""
    lists = reply.get("result") if isinstance(reply, dict) else None
    if not isinstance(lists, list) or len(lists) != len(queries):
        raise UnreadableSearchReplyError(f"the reply holds no `result` for {len(queries)} queries")
    statuses = reply.get("statuses") or [None] * len(lists)
    return [
        read_documents(query, documents, k, status)
        for query, documents, status in zip(queries, lists, statuses, strict=False)
    ]


def parse_reply(content: bytes) -> Any:
    """The JSON value of a reply. Raises UnreadableSearchReplyError."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise UnreadableSearchReplyError(f"the reply is not JSON: {content[:60]!r}") from None


def read_documents(query: str, documents: Any, k: int, status: Mapping[str, Any] | None) -> Answer:
    """One list of documents as an answer; best first, no duplicates. Raises UnreadableSearchReplyError."""
    if not isinstance(documents, list):
        raise UnreadableSearchReplyError("a query's documents are not a list")
    if status is not None and status.get("status") not in (SearchStatus.OK, SearchStatus.EMPTY):
        return Answer(fail_call(query, str(status.get("detail"))))
    found: dict[str, tuple[Hit, FoundPassage]] = {}
    for rank, item in enumerate(documents[:k]):
        document, score = _open_item(item)
        passage = _read_passage(document)
        usable = isinstance(score, int | float) and math.isfinite(score)
        hit = Hit(passage_id=passage.passage_id, score=score if usable else 1 / (rank + 1))
        found.setdefault(passage.passage_id, (hit, passage))
    return Answer(make_call(query, tuple(hit for hit, _ in found.values())), tuple(p for _, p in found.values()))


def _read_passage(document: Any) -> FoundPassage:
    if not isinstance(document, dict):
        raise UnreadableSearchReplyError("a document is not an object")
    title, text, contents = (document.get(name) for name in ("title", "text", "contents"))
    if not isinstance(text, str):
        if not isinstance(contents, str):
            raise UnreadableSearchReplyError("a document has neither `text` nor `contents`")
        first, _, rest = contents.partition("\n")
        title, text = (first.strip().strip('"'), rest) if rest else (title, contents)
    title = title if isinstance(title, str) else ""
    known = document.get("id", document.get("docid"))
    passage_id = str(known) if isinstance(known, str | int) else content_id(title, text)
    try:
        anchors = tuple((int(start), int(end)) for start, end in document.get("anchors") or ())
    except (TypeError, ValueError):
        raise UnreadableSearchReplyError("a document's `anchors` are not pairs of offsets") from None
    return FoundPassage(passage_id, title, text, anchors)


def _open_item(item: Any) -> tuple[Any, Any]:
    """The document and its score; a document without a wrapper may have its score inside."""
    if not isinstance(item, dict):
        return item, None
    return item.get("document", item), item.get("score")
