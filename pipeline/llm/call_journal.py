"""Keeps every finished call, so that none is ever made twice.

Promises: a reply is on disk before its caller sees it; after `kill -9` at any moment the calls that were finished are
answered from the journal, and only those in flight are made again; equal requests are one call, also at the same time.
A caller that goes away does not take its call along: what is in flight is finished and kept.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from pipeline.llm.chat_model import ChatReply, ChatRequest, ModelService, RefusedRequestError, ToolCall
from pipeline.llm.chat_wire import encode_body
from pipeline.llm.faults import PERMANENT_REASONS
from pipeline.storage.line_log import LineLog
from schemas.live import EndpointLive
from schemas.record import ID_BYTES


class JournaledChatModel:
    """Answers from its journal what was answered before, and asks the model behind it for the rest.

    `describe` gives the request as it is sent (model, messages, sampling, schema): with the attempt, it is the identity
    of the call. One journal belongs to one shard; the model behind may serve many.
    """

    def __init__(self, model: ModelService, path: Path, describe: Callable[[ChatRequest], Mapping[str, Any]]) -> None:
        self._model = model
        self._describe = describe
        self._log = LineLog(path, _fits)
        self._under_way: dict[str, asyncio.Task[ChatReply]] = {}
        self.repeated = 0
        """Calls answered from the journal."""

    async def ask(self, request: ChatRequest) -> ChatReply:
        """One reply, safe on disk. Raises ModelError."""
        key = make_key(encode_body(self._describe(request)), request.attempt)
        if key in self._log:
            self.repeated += 1
            return read_line(self._log.read(key))
        call = self._under_way.get(key)
        if call is None:
            call = asyncio.create_task(self._call(key, request))
            self._under_way[key] = call
            call.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(call)

    async def _call(self, key: str, request: ChatRequest) -> ChatReply:
        try:
            reply = await self._model.ask(request)
        except RefusedRequestError as error:
            if error.reason in PERMANENT_REASONS:
                self._log.append(key, write_refusal(key, error))
            raise
        self._log.append(key, write_reply(key, reply))
        return reply

    def _forget(self, key: str, done: asyncio.Task[ChatReply]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            # Looked at even when nobody waits any more, or asyncio complains that it never was.
            done.exception()

    def stop(self) -> None:
        """Send nothing more: requests that wait are refused, those in flight go on."""
        self._model.stop()

    async def close(self) -> None:
        """Give up the connections; the next request opens new ones."""
        await self._model.close()

    def load(self) -> tuple[EndpointLive, ...]:
        """What the endpoints behind it are doing."""
        return self._model.load()

    def delete(self) -> None:
        """Remove the journal: its shard is committed."""
        self._log.delete()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exit: object) -> None:
        self._log.__exit__(*exit)


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


def read_line(line: Mapping[str, Any]) -> ChatReply:
    """The reply of a line; raises the refusal of one that holds that."""
    if "refusal" in line:
        raise RefusedRequestError(line["refusal"]["reason"], line["refusal"]["what"])
    values = dict(line["reply"])
    values["tool_calls"] = tuple(ToolCall(**call) for call in values["tool_calls"])
    values["token_ids"] = tuple(values.get("token_ids", ()))
    return ChatReply(**values)


def _fits(line: Mapping[str, Any]) -> bool:
    """Whether a line without a checksum holds a reply or a refusal."""
    try:
        read_line(line)
    except RefusedRequestError:
        return True
    except (KeyError, TypeError):
        return False
    return True
