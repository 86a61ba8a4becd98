"""Writer of reply bodies from search calls. Frequent documents are serialised once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import orjson

from pipeline.search.engine import SearchEngine
from pipeline.search.remote.retrieve_protocol import write_contents
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

    def write_result(
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

    def write_zerosearch(self, call: SearchCall) -> bytes:
        """ZeroSearch's reply."""
        documents = [self._zero(hit.passage_id) + b',"score":%b}' % _write_score(hit.score or 0.0) for hit in call.hits]
        return b"[%b]" % b",".join(documents)

    def _read(self, passage_id: str) -> dict[str, Any]:
        (passage,) = self._engine.read([passage_id])
        parts = {"title": passage.title, "text": passage.text, "anchors": passage.anchors}
        return {"id": passage.passage_id, "contents": write_contents(passage), **parts}

    def _write_plain(self, passage_id: str) -> bytes:
        document = self._read(passage_id)
        return orjson.dumps({name: document[name] for name in ("id", "contents")})

    def _write_detailed(self, passage_id: str) -> bytes:
        return orjson.dumps(self._read(passage_id))

    def _write_zero(self, passage_id: str) -> bytes:
        """Without the closing brace: the score follows."""
        document = self._read(passage_id)
        return orjson.dumps({name: document[name] for name in ("id", "title", "text")})[:-1]


def _write_score(score: float) -> bytes:
    return repr(score).encode()
