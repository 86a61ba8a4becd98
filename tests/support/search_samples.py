"""Small corpora, indexes over them, and real search servers, for the tests of search."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from pipeline.search.bm25 import Bm25Engine, build_index
from pipeline.search.engine import FoundPassage, SearchRequest, check_query, make_call
from pipeline.search_server.settings import ServerSettings
from pipeline.search_server.supervisor import SearchServer
from schemas.passages import Passage
from schemas.search_config import SearchConfig
from schemas.trajectories import Hit, SearchCall
from tests.support.passage_samples import write_shards

CLIENT = httpx.Client(timeout=30, trust_env=False, headers={"connection": "close"})
"""A connection each request: a worker that dies takes none along."""


def write_index(folder: Path, passages: Sequence[Passage]) -> Path:
    """The folder of a BM25 index over the passages."""
    folder.mkdir(parents=True, exist_ok=True)
    build_index(write_shards(folder, list(passages)), folder / "index", SearchConfig(), "en")
    return folder / "index"


def open_index(index: Path) -> Bm25Engine:
    return Bm25Engine(index)


class SlowEngine:
    """Finds one passage for everything, after so many seconds."""

    fingerprint = "slow"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        calls = []
        for request in requests:
            time.sleep(self._seconds)
            query, refused = check_query(request, k)
            calls.append(refused or make_call(query, (Hit(passage_id="p", score=1.0),)))
        return calls

    def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return [FoundPassage(passage_id, "Title", "Text.") for passage_id in passage_ids]


@contextmanager
def serving(settings: ServerSettings) -> Iterator[SearchServer]:
    """A server with its workers up; at a free port unless the settings say otherwise."""
    with SearchServer(replace(settings, port=0)) as server:
        server.watch(until_ready=True)
        watching = threading.Thread(target=server.watch)
        watching.start()
        try:
            yield server
        finally:
            server.stop()
            watching.join()


def wait_until_ready(server: SearchServer) -> None:
    """Until every worker answers, also one that takes the place of another."""
    deadline = time.monotonic() + 60
    while not server.ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def serve_index(index: Path, workers: int = 1) -> ServerSettings:
    """Settings to serve an index."""
    return ServerSettings(open_engine=partial(open_index, index), workers=workers)


def post(url: str, content: Any, **headers: str) -> httpx.Response:
    """What a server answers to a body for /retrieve: values, or bytes as they are."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return CLIENT.post(f"{url}/retrieve", content=body, headers=headers)


def serve_pages(index: Path, workers: int = 1) -> ServerSettings:
    """Settings to serve an index and its pages."""
    return replace(serve_index(index, workers), index=index)
