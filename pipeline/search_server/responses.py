"""Writer of reply bodies from search calls. Frequent documents are serialised once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from pipeline.search.engine import SearchEngine
from pipeline.search.page_reader import write_address
from pipeline.search.remote.retrieve_protocol import write_contents
from pipeline.search_server.requests import QueryRequest, ReplyForm
from schemas.trajectories import SearchCall

CACHED = 1 << 14
"""Serialised documents in memory, of each form."""


class ReplyWriter:
    """The writer for one engine."""

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self._plain = lru_cache(CACHED)(self._write_plain)
        self._detailed = lru_cache(CACHED)(self._write_detailed)
        self._zero = lru_cache(CACHED)(self._write_zero)

    def write(self, request: QueryRequest, calls: Sequence[SearchCall]) -> bytes:
        """The reply to a request in its form. `calls`: of all its queries, in order."""
        if request.form is ReplyForm.SEARCH_R1:
            return self._write_result(calls, request.scores, request.details, request.list_errors())
        if request.form is ReplyForm.ZEROSEARCH:
            return self._write_zerosearch(calls[0])
        return orjson.dumps(self._describe(request, calls))

    def _describe(self, request: QueryRequest, calls: Sequence[SearchCall]) -> Any:
        """The reply in the forms that are rarer and larger than a search."""
        lists = [[self._read(hit.passage_id) for hit in call.hits] for call in calls]
        scores = [[hit.score or 0.0 for hit in call.hits] for call in calls]
        match request.form:
            case ReplyForm.SERPER:
                return {
                    "searchParameters": {"q": calls[0].query, "type": "search"},
                    "organic": [
                        {"title": d["title"], "link": d["url"], "snippet": d["text"], "position": place}
                        for place, d in enumerate(lists[0], 1)
                    ],
                }
            case ReplyForm.OPEN_RESEARCHER:
                pairs = zip(lists[0], scores[0], strict=True)
                return [
                    {"docid": d["id"], "url": d["url"], "score": score, "text": d["contents"]} for d, score in pairs
                ]
            case ReplyForm.R1_SEARCHER:
                answers = [[f"{d['id']} {d['contents']}" for d in documents] for documents in lists]
                return {"queries": [call.query for call in calls], "answers": answers}
        plain = [[{"id": d["id"], "contents": d["contents"]} for d in documents] for documents in lists]
        if request.form is ReplyForm.RESEARCH:
            return [plain[0], scores[0]] if request.scores else plain[0]
        return [plain, scores] if request.scores else plain

    def _write_result(
        self, calls: Sequence[SearchCall], scores: bool, details: bool, errors: Sequence[str | None] | None = None
    ) -> bytes:
        """Search-R1's reply; with `details`, the status of each query and the parts of each document; with `errors`,
        the reason for each refused query."""
        write = self._detailed if details else self._plain
        form = b'{"document":%b,"score":%b}' if scores else b"%b"
        lists: list[bytes] = []
        for call in calls:
            documents = [
                form % ((write(hit.passage_id), _write_score(hit.score or 0.0)) if scores else (write(hit.passage_id),))
                for hit in call.hits
            ]
            lists.append(b"[%b]" % b",".join(documents))
        body = b'{"result":[%b]' % b",".join(lists)
        if details:
            body += b',"statuses":' + orjson.dumps([{"status": c.status, "detail": c.detail} for c in calls])
        if errors is not None:
            body += b',"errors":' + orjson.dumps(errors)
        return body + b"}"

    def _write_zerosearch(self, call: SearchCall) -> bytes:
        """ZeroSearch's reply."""
        documents = [self._zero(hit.passage_id) + b',"score":%b}' % _write_score(hit.score or 0.0) for hit in call.hits]
        return b"[%b]" % b",".join(documents)

    def _read(self, passage_id: str) -> dict[str, Any]:
        (passage,) = self._engine.read([passage_id])
        url = passage.passage_id if passage.page_id is None else write_address(passage.page_id)
        parts = {"title": passage.title, "text": passage.text, "anchors": passage.anchors}
        return {"id": passage.passage_id, "contents": write_contents(passage), "url": url, **parts}

    def _write_plain(self, passage_id: str) -> bytes:
        document = self._read(passage_id)
        return orjson.dumps({name: document[name] for name in ("id", "contents", "url")})

    def _write_detailed(self, passage_id: str) -> bytes:
        return orjson.dumps(self._read(passage_id))

    def _write_zero(self, passage_id: str) -> bytes:
        """Without the closing brace: the score follows."""
        document = self._read(passage_id)
        return orjson.dumps({name: document[name] for name in ("id", "title", "text")})[:-1]


def _write_score(score: float) -> bytes:
    return repr(score).encode()
