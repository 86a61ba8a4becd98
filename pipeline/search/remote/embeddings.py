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
import openai

from pipeline.errors import SearchError
from pipeline.llm.client import request
from pipeline.search.encoder import Prompts
from pipeline.search.remote.service import FailedCallError, SearchService, UnreadableSearchReplyError

T = TypeVar("T")
CHARS_A_TOKEN = 4
"""The server cuts by tokens that are not known here: text is cut after this many characters for each."""
MOST_BYTES = 1 << 28
"""Of a reply: a batch of 512 vectors of 16,384 numbers has fewer."""


class EndpointEncoder:
    """Encodes on a server. May be called from any thread, inside or outside an event loop."""

    def __init__(
        self, service: SearchService, client: openai.AsyncOpenAI, model: str, max_tokens: int, batch: int
    ) -> None:
        """`service`: the limits of the server that the client leads to; `batch`: texts of a request.

        Raises SearchError when the server does not answer.
        """
        self.identity = f"endpoint:{model} tokens={max_tokens}"
        self.prompts = Prompts()
        self._service = service
        self._client = client
        self._model = model
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

        async def exchange() -> np.ndarray:
            return self._read(await request(self._client, "/embeddings", body, MOST_BYTES), len(inputs))

        return await self._service.repeat(exchange)

    def _read(self, content: bytes, count: int) -> np.ndarray:
        try:
            rows = sorted(json.loads(content)["data"], key=lambda row: row["index"])
            vectors = np.asarray([row["embedding"] for row in rows], np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableSearchReplyError(f"a reply without embeddings: {content[:100]!r}") from error
        lengths = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
        if vectors.ndim != 2 or len(vectors) != count or not (np.isfinite(lengths).all() and lengths.all()):
            raise UnreadableSearchReplyError(f"embeddings of shape {vectors.shape} for {count} texts")
        if self.dimension not in (0, vectors.shape[1]):
            raise UnreadableSearchReplyError(f"embeddings of {vectors.shape[1]} numbers, {self.dimension} before")
        scaled: np.ndarray = vectors / lengths
        return scaled
