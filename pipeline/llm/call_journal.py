"""Journal of calls: every finished call is recorded and never made twice.

Guarantees: a reply is on disk before its caller gets it, an unreadable one as it was received; after `kill -9` at any
moment finished calls are answered from the journal, and only those in flight are made again; equal requests are one
call, also when concurrent. A reply is valid wherever its server has moved to; a refusal is recorded only where it is
the item's own fault, and for the endpoints that gave it. A cancelled caller does not cancel its call: it is finished
and recorded.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, RefusedRequestError, ToolCall, UnreadBodyError
from pipeline.llm.chat_protocol import encode_body
from pipeline.llm.errors import OWN_REASONS
from pipeline.storage.jsonl import JsonlLog
from schemas.record import ID_BYTES

REFUSED = "refused-"
"""Prefix of the keys of refusals."""


class JournaledChatModel:
    """Chat model that answers recorded requests from its journal, and passes the others to the model behind it.

    `describe` gives the request as it is sent (model, messages, sampling, schema): with the attempt, it is the identity
    of the call. One journal belongs to one shard; the model behind may serve many.
    """

    def __init__(
        self,
        model: ChatModel,
        path: Path,
        describe: Callable[[ChatRequest], Mapping[str, Any]],
        locate: Callable[[str], Sequence[str]] = lambda _: (),
        read: Callable[[ChatRequest, bytes], ChatReply] | None = None,
    ) -> None:
        """`locate`: the URLs that may answer a role; `read`: the reply in a body that was recorded unread."""
        self._model = model
        self._describe = describe
        self._locate = locate
        self._read = read
        self._path = path
        self._log: JsonlLog | None = None
        self._pending: dict[str, asyncio.Task[ChatReply]] = {}
        self.repeated = 0
        """Calls answered from the journal."""

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply, written to disk. Raises ModelError."""
        content = encode_body(self._describe(request))
        key = make_key(content, request.attempt)
        reply = self._find(key, content, request)
        if reply is not None:
            self.repeated += 1
            return reply
        call = self._pending.get(key)
        if call is None:
            call = asyncio.create_task(self._call(key, content, request))
            self._pending[key] = call
            call.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(call)

    def _find(self, key: str, content: bytes, request: ChatRequest) -> ChatReply | None:
        """The recorded reply, if any. Raises the recorded refusal."""
        log = self._open_log()
        line = log.read(key) if key in log else {}
        if "reply" in line:
            return read_line(line)
        if "body" in line and self._read is not None:
            return self._read(request, line["body"].encode())
        refused = self._make_refusal_key(content, request)
        line = log.read(refused) if refused in log else {}
        if "refusal" in line:
            self.repeated += 1
            return read_line(line)
        return None

    async def _call(self, key: str, content: bytes, request: ChatRequest) -> ChatReply:
        try:
            reply = await self._model.ask(request)
        except RefusedRequestError as error:
            if error.reason in OWN_REASONS:
                refused = self._make_refusal_key(content, request)
                self._open_log().append(refused, write_refusal(refused, error))
            raise
        except UnreadBodyError as error:
            self._open_log().append(key, write_body(key, error.body))
            raise
        self._open_log().append(key, write_reply(key, reply))
        return reply

    def _make_refusal_key(self, content: bytes, request: ChatRequest) -> str:
        place = "\n".join(self._locate(request.role)).encode()
        return REFUSED + make_key(b"%b %b" % (content, place), request.attempt)

    def _forget(self, key: str, done: asyncio.Task[ChatReply]) -> None:
        del self._pending[key]
        if not done.cancelled():
            # Retrieved even without a caller, or asyncio warns that it never was.
            done.exception()

    async def close(self) -> None:
        """Close the journal; the next request opens it again."""
        self._close_log()

    def _open_log(self) -> JsonlLog:
        """The journal, opened by the first request."""
        if self._log is None:
            self._log = JsonlLog(self._path)
        return self._log

    def _close_log(self) -> None:
        """Release the journal and its lock: a traceback may keep this object alive while the shard is retried."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit: object) -> None:
        self._close_log()


def make_key(content: bytes, attempt: int) -> str:
    """The identity of a call: a hash of its body and the number of its attempt."""
    return hashlib.blake2b(b"%b %d" % (content, attempt), digest_size=ID_BYTES).hexdigest()


def write_reply(key: str, reply: ChatReply) -> bytes:
    """One line, newline included."""
    return orjson.dumps({"key": key, "reply": reply}, option=orjson.OPT_APPEND_NEWLINE)


def write_refusal(key: str, error: RefusedRequestError) -> bytes:
    """One line, newline included."""
    refusal = {"reason": error.reason, "what": error.what}
    return orjson.dumps({"key": key, "refusal": refusal}, option=orjson.OPT_APPEND_NEWLINE)


def write_body(key: str, body: bytes) -> bytes:
    """One line, newline included."""
    return orjson.dumps({"key": key, "body": body.decode("utf-8", "replace")}, option=orjson.OPT_APPEND_NEWLINE)


def read_line(line: Mapping[str, Any]) -> ChatReply:
    """The reply of a line. Raises its refusal."""
    if "refusal" in line:
        raise RefusedRequestError(line["refusal"]["reason"], line["refusal"]["what"])
    values = dict(line["reply"])
    values["tool_calls"] = tuple(ToolCall(**call) for call in values["tool_calls"])
    values["token_ids"] = tuple(values.get("token_ids", ()))
    return ChatReply(**values)


def drop_refusals(folder: Path) -> None:
    """Invalidate the refusals in all journals of a run, so that they are requested again. Raises StorageError."""
    for path in sorted(folder.glob("*/*.jsonl")):
        with JsonlLog(path) as log:
            for key in sorted(key for key in log.keys if key.startswith(REFUSED)):
                if "refusal" in log.read(key):
                    # The last line of a key counts: a journal is append-only, also on an object store.
                    log.append(key, orjson.dumps({"key": key}, option=orjson.OPT_APPEND_NEWLINE))
