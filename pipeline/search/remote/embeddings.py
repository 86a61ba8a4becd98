"""Text encoder behind a server's /v1/embeddings, the protocol of OpenAI.

Guarantees: transient errors are retried (see `service`); a failing server is one SearchError, never a missing or a zero
vector; vectors are normalised to length 1.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np

from pipeline.errors import SearchError
from pipeline.llm.client import AsyncApiClient
from pipeline.search.encoder import Prompts
from pipeline.search.remote.service import FailedCallError, SearchService, UnreadableSearchReplyError

T = TypeVar("T")
TOKEN_CHARS = 4
"""Characters at which text is truncated, per token of the limit: the server's tokenizer is unknown."""
MAX_REPLY_BYTES = 1 << 28
"""More than a batch of 512 vectors of 16,384 numbers."""


class EndpointEncoder:
    """A TextEncoder on a server. May be called from any thread, inside or outside an event loop."""

    def __init__(self, service: SearchService, client: AsyncApiClient, model: str, max_tokens: int, batch: int) -> None:
        """`service`: the limits of the client's server; `batch`: texts per request.

        Raises SearchError when the server does not answer.
        """
        self.identity = f"endpoint:{model} tokens={max_tokens}"
        self.prompts = Prompts()
        self._service = service
        self._client = client
        self._model = model
        self._max_chars = max_tokens * TOKEN_CHARS
        self._batch = batch
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="encoder", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        self.dimension = 0
        try:
            self.dimension = self.encode(["how long is a vector"]).shape[1]
        except BaseException:
            self.close()
            raise

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, float32, of length 1. Raises SearchError."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        try:
            return np.concatenate(self._wait(self._encode_all(texts)))
        except FailedCallError as error:
            raise SearchError(f"the embeddings of {self._model} failed: {error.detail}", "see llm.endpoints") from error

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """The same: the server decides on its batches."""
        return self.encode(texts)

    def close(self) -> None:
        """Close the connections and end the thread; also done at the end of the process."""
        atexit.unregister(self.close)
        if not self._loop.is_closed():
            self._wait(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

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
            return self._read(await self._client.request("/embeddings", body, MAX_REPLY_BYTES), len(inputs))

        return await self._service.repeat(exchange)

    def _read(self, content: bytes, count: int) -> np.ndarray:
        try:
            rows = sorted(json.loads(content)["data"], key=lambda row: row["index"])
            vectors = np.asarray([row["embedding"] for row in rows], np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableSearchReplyError(f"a reply without embeddings: {content[:100]!r}") from error
        norms = np.linalg.norm(vectors, axis=-1, keepdims=True) if vectors.ndim == 2 else np.zeros(1)
        if vectors.ndim != 2 or len(vectors) != count or not (np.isfinite(norms).all() and norms.all()):
            raise UnreadableSearchReplyError(f"embeddings of shape {vectors.shape} for {count} texts")
        if self.dimension not in (0, vectors.shape[1]):
            raise UnreadableSearchReplyError(f"embeddings of {vectors.shape[1]} numbers, {self.dimension} before")
        scaled: np.ndarray = vectors / norms
        return scaled
