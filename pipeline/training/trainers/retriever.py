"""Client of a search server for rollouts: POST /retrieve in Search-R1's protocol, with the standard library only.

Promises: the hit lists of one step's queries are merged round-robin, as the agents see them; a failed search is never
shown as a result: it is asked again, and then it ends the training, which can go on from its checkpoint. (It asks again
in a loop of its own, because trainers' environments need not have what `pipeline.http.retrying` is made of.)
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.rendering.transcript import write_document
from pipeline.rollouts.search_rollout import SearchStep
from schemas.locations import is_loopback
from schemas.renderings import ShownDocument
from schemas.training import SearchEndpoint

PIECE = 256
"""Maximum queries per request."""
FAULTS = ("error", "timeout")


class SearchFaultError(RuntimeError):
    """The search server does not respond."""


class Retriever:
    """Client of a search server."""

    def __init__(self, endpoint: SearchEndpoint) -> None:
        self._endpoint = endpoint
        self._url = endpoint.url.rstrip("/").removesuffix("/retrieve")
        self._headers = {"content-type": "application/json"}
        if endpoint.key:
            token = os.environ.get(endpoint.key)
            if not token:
                raise SearchFaultError(f"the variable {endpoint.key} holds no token for {self._url}")
            self._headers["authorization"] = f"Bearer {token}"
        # A server on this machine is reached directly, whatever proxy the environment names.
        direct = [urllib.request.ProxyHandler({})] if is_loopback(self._url) else []
        self._opener = urllib.request.build_opener(*direct)
        self._ours = bool(self._probe().get("engine"))
        self.seconds = 0.0
        """Seconds spent waiting for results."""

    def find(self, searches: Sequence[SearchStep], step: int = 0) -> list[tuple[ShownDocument, ...]]:
        """Return the results of each search, at most `k` documents. Raises SearchFaultError."""
        began = time.perf_counter()
        flat = [(query, search.passage_id) for search in searches for query in search.queries]
        lists: list[list[Any]] = []
        for start in range(0, len(flat), PIECE):
            lists += self._ask(flat[start : start + PIECE], step)
        found = iter(lists)
        merged = [merge([next(found) for _ in search.queries], self._endpoint.k) for search in searches]
        self.seconds += time.perf_counter() - began
        return merged

    def _ask(self, asked: Sequence[tuple[str, str]], step: int) -> list[list[Any]]:
        body: dict[str, Any] = {"queries": [query for query, _ in asked], "topk": self._endpoint.k}
        body["return_scores"] = True
        if self._ours:
            body["details"] = True
            if self._endpoint.hide:
                body["exclude"] = [{"passage_id": source} if source else None for _, source in asked]
            if self._endpoint.simulated_steps:
                body["progress"] = min(step / self._endpoint.simulated_steps, 1.0)
        reason = ""
        for attempt in range(self._endpoint.tries):
            if attempt:
                time.sleep(min(2.0**attempt / 4, 8.0))
            try:
                reply = self._post("/retrieve", body)
                lists = read_lists(reply, len(asked))
            except (OSError, ValueError) as error:
                reason = str(error)
                continue
            return lists
        raise SearchFaultError(f"the search server {self._url} failed {self._endpoint.tries} times: {reason}")

    def _probe(self) -> Mapping[str, Any]:
        try:
            health = json.loads(self._open(urllib.request.Request(f"{self._url}/healthz")))  # noqa: S310 - http(s) by schema
        except (OSError, ValueError):
            return {}
        return health if isinstance(health, dict) else {}

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        data = json.dumps(body).encode()
        return json.loads(self._open(urllib.request.Request(self._url + path, data, self._headers)))  # noqa: S310 - as above

    def _open(self, request: urllib.request.Request) -> bytes:
        with self._opener.open(request, timeout=self._endpoint.deadline) as reply:
            content: bytes = reply.read()
        return content


def read_lists(reply: Any, wanted: int) -> list[list[Any]]:
    """Return the hit lists of a reply. Raises ValueError for one without them, or with a failed search."""
    lists = reply.get("result") if isinstance(reply, dict) else None
    if not isinstance(lists, list) or len(lists) != wanted:
        raise ValueError(f"the reply holds no `result` for {wanted} queries")
    for status in reply.get("statuses") or ():
        if status.get("status") in FAULTS:
            raise ValueError(f"a search failed: {status.get('detail')}")
    return lists


def merge(lists: Sequence[Sequence[Any]], k: int) -> tuple[ShownDocument, ...]:
    """Return the first hit of every list, then the second of every list, and so on; no document twice, at most `k`."""
    merged: dict[str, ShownDocument] = {}
    for rank in range(max(map(len, lists), default=0)):
        for hits in lists:
            if rank < len(hits) and len(merged) < k:
                name, document = read_document(hits[rank])
                merged.setdefault(name, document)
    return tuple(merged.values())


def read_document(item: Any) -> tuple[str, ShownDocument]:
    """Return a document with its identity, safe between tags."""
    inner = item.get("document", item)
    title, text = inner.get("title"), inner.get("text")
    if text is None:
        first, _, rest = str(inner.get("contents") or "").partition("\n")
        title, text = (first.strip().strip('"'), rest) if rest else ("", first)
    name = str(inner.get("id") or f"{title}\n{text}")
    return name, write_document(str(title or ""), str(text))
