"""Keeps every finished call, so that none is ever made twice.

Promises: a reply is on disk before its caller sees it, and one that cannot be read as it came; after `kill -9` at any
moment the calls that were finished are answered from the journal, and only those in flight are made again; equal
requests are one call, also at the same time. A reply is found again wherever its server has moved to; a refusal is kept
only where it is the item's own fault, and for the endpoints that spoke it. A caller that goes away does not take its
call along: what is in flight is finished and kept.
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
"""How the keys of refusals begin."""


class JournaledChatModel:
    """Answers from its journal what was answered before, and asks the model behind it for the rest.

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
        """`locate`: the URLs that may answer a role; `read`: the reply in a body that was kept unread."""
        self._model = model
        self._describe = describe
        self._locate = locate
        self._read = read
        self._path = path
        self._log: JsonlLog | None = None
        self._under_way: dict[str, asyncio.Task[ChatReply]] = {}
        self.repeated = 0
        """Calls answered from the journal."""

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply, safe on disk. Raises ModelError."""
        content = encode_body(self._describe(request))
        key = make_key(content, request.attempt)
        reply = self._find(key, content, request)
        if reply is not None:
            self.repeated += 1
            return reply
        call = self._under_way.get(key)
        if call is None:
            call = asyncio.create_task(self._call(key, content, request))
            self._under_way[key] = call
            call.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(call)

    def _find(self, key: str, content: bytes, request: ChatRequest) -> ChatReply | None:
        """The reply that the journal has, if any. Raises the refusal that it has."""
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
        del self._under_way[key]
        if not done.cancelled():
            # Looked at even when nobody waits any more, or asyncio complains that it never was.
            done.exception()

    async def close(self) -> None:
        """Give up the journal; the next request opens it anew."""
        self._close_log()

    def _open_log(self) -> JsonlLog:
        """The journal, opened by the first request."""
        if self._log is None:
            self._log = JsonlLog(self._path)
        return self._log

    def _close_log(self) -> None:
        """Give up the journal and its lock. An error's traceback may keep this object, and the shard is tried again."""
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit: object) -> None:
        self._close_log()


def make_key(content: bytes, attempt: int) -> str:
    """The identity of a call: a hash of what is sent, and which attempt it belongs to."""
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
    """The reply of a line; raises the refusal of one that holds that."""
    if "refusal" in line:
        raise RefusedRequestError(line["refusal"]["reason"], line["refusal"]["what"])
    values = dict(line["reply"])
    values["tool_calls"] = tuple(ToolCall(**call) for call in values["tool_calls"])
    values["token_ids"] = tuple(values.get("token_ids", ()))
    return ChatReply(**values)


def drop_refusals(folder: Path) -> None:
    """Forget the refusals in all journals of a run, so that they are asked again; replies stay. Raises StorageError."""
    for path in sorted(folder.glob("*/*.jsonl")):
        with JsonlLog(path) as log:
            for key in sorted(key for key in log.keys if key.startswith(REFUSED)):
                if "refusal" in log.read(key):
                    # What is appended last counts: a journal only grows, also on an object store.
                    log.append(key, orjson.dumps({"key": key}, option=orjson.OPT_APPEND_NEWLINE))
