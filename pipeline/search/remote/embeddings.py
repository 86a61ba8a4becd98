"""Turns text into vectors by a server's /v1/embeddings, in the shape of the OpenAI API.

Promises: faults that may pass are tried again (see `service`); a server that gives up is one SearchError, never a
missing or a zero vector; vectors have length 1, whatever the server sends.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.errors import SearchError
from pipeline.search.encoder import Prompts
from pipeline.search.remote.service import (
    FailedCallError,
    HttpRequest,
    SearchService,
    ServiceReply,
    UnreadableSearchReplyError,
)

T = TypeVar("T")
CHARS_A_TOKEN = 4
"""The server cuts by tokens that are not known here: text is cut after this many characters for each."""


class EndpointEncoder:
    """Encodes on a server. May be called from any thread, inside or outside an event loop."""

    def __init__(self, service: SearchService, url: str, model: str, key: str, max_tokens: int, batch: int) -> None:
        """`url`: the server's base, such as http://127.0.0.1:8000/v1; `batch`: texts of a request. Raises SearchError
        when the server does not answer."""
        self.identity = f"endpoint:{model} tokens={max_tokens}"
        self.prompts = Prompts()
        self._service = service
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model = model
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._max_chars = max_tokens * CHARS_A_TOKEN
        self._batch = batch
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.dimension = 0
        self.dimension = self.encode(["how long is a vector"]).shape[1]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One row a text, float32, of length 1. Raises SearchError."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        try:
            return np.concatenate(self._wait(self._encode_all(texts)))
        except FailedCallError as error:
            raise SearchError(f"the embeddings of {self._model} failed: {error.detail}", "see llm.endpoints") from error

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """The same: how the server groups texts is not known here."""
        return self.encode(texts)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _encode_all(self, texts: Sequence[str]) -> list[np.ndarray]:
        groups = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._encode_group(group)) for group in groups]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in running]

    async def _encode_group(self, texts: Sequence[str]) -> np.ndarray:
        # An empty text is refused by most servers.
        inputs = [text[: self._max_chars] or " " for text in texts]
        body = json.dumps({"model": self._model, "input": inputs, "encoding_format": "float"}).encode()
        request = HttpRequest("POST", self._url, body=body, headers=self._headers)
        return await self._service.call(request, lambda reply: self._read(reply, len(inputs)))

    def _read(self, reply: ServiceReply, count: int) -> np.ndarray:
        try:
            rows = sorted(json.loads(reply.content)["data"], key=lambda row: row["index"])
            vectors = np.asarray([row["embedding"] for row in rows], np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableSearchReplyError(f"a reply without embeddings: {reply.content[:100]!r}") from error
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
        if vectors.ndim != 2 or len(vectors) != count or not (np.isfinite(lengths).all() and lengths.all()):
            raise UnreadableSearchReplyError(f"embeddings of shape {vectors.shape} for {count} texts")
        if self.dimension not in (0, vectors.shape[1]):
            raise UnreadableSearchReplyError(f"embeddings of {vectors.shape[1]} numbers, {self.dimension} before")
        scaled: np.ndarray = vectors / lengths
        return scaled
