"""The OpenAI chat protocol: what a request looks like when sent, and what a reply means.

Promises: the body of a request is a function of the request and its role's configuration alone, so it can serve as
the request's identity; what a model thought and what it answered are kept apart, however its server mixes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.http.errors import read_detail
from pipeline.llm.chat_model import ChatReply, ChatRequest, Message, RefusedRequestError, ToolCall
from pipeline.llm.reply_fields import (
    join_words,
    parse_json,
    read_content,
    read_count,
    read_finish,
    read_name,
    take_choice,
)
from schemas.llm_config import RoleModelConfig

OPENED = re.compile(r"\s*<think>(.*?)(?:</think>|\Z)", re.DOTALL)
"""Thinking that opens a reply; never closed, it is all there is."""
CLOSED = re.compile(r"^[ \t]*</think>[ \t\r]*$|</think>[ \t\r]*\n[ \t\r]*(?:\n|\Z)", re.MULTILINE)
"""The end of thinking that the prompt has opened: alone on its line, or before an empty line."""
BYTES_PER_TOKEN = 4
"""For servers that report no usage: an estimate is better for a budget than nothing."""


class MalformedReplyError(Exception):
    """A body that is cut off, or no reply at all. It may be whole the next time."""


def make_body(role: RoleModelConfig, request: ChatRequest) -> dict[str, Any]:
    """The request as JSON values. What is left to the server is left out."""
    body: dict[str, Any] = {
        "model": role.model,
        "messages": [_write_message(message) for message in request.messages],
        "temperature": request.temperature if role.temperature is None else role.temperature,
        "max_tokens": request.max_tokens if role.max_tokens is None else role.max_tokens,
    }
    if (top_p := request.top_p if role.top_p is None else role.top_p) is not None:
        body["top_p"] = top_p
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema is not None and role.structured:
        schema = {"name": request.role, "schema": request.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool} for tool in request.tools]
    # A null in `extra` takes a key away: some APIs refuse `temperature`, or call `max_tokens` something else.
    return {key: value for key, value in (body | role.extra).items() if value is not None}


def encode_body(body: Mapping[str, Any]) -> bytes:
    """JSON as sent. Half a surrogate pair, which UTF-8 cannot hold, becomes a question mark."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _write_message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": message.speaker, "content": message.text}
    if message.tool_calls:
        written["tool_calls"] = [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.answers:
        written["tool_call_id"] = message.answers
    return written


def read_reply(content: bytes, model: str, body_bytes: int, stop: tuple[str, ...]) -> ChatReply:
    """Read the reply of a model; `body_bytes` is the size of the request.

    The reply carries the name that was asked for, not the server's own name for it: prices and sums go by that.

    Raises MalformedReplyError for a body that is none, HttpStatusError for an error in it, RefusedRequestError where a
    content filter took the answer or the model refuses to give one.
    """
    try:
        values = parse_json(content)
        choice = take_choice(values)
        message = choice["message"]
        answer, thought = read_content(message.get("content"))
        reasoning = join_words(message.get("reasoning_content") or message.get("reasoning")) or thought
        calls = tuple(_read_call(call) for call in message.get("tool_calls") or ())
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"not a chat completion: {type(error).__name__}: {error}"[:200]) from None
    opened, text = split_thinking(answer, kept_apart=bool(reasoning))
    usage = values.get("usage")
    reply = ChatReply(
        text=cut_at_stop(text, stop),
        reasoning=(reasoning or opened).strip(),
        finish_reason=read_finish(choice),
        model=model,
        prompt_tokens=read_count(usage, "prompt_tokens", body_bytes // BYTES_PER_TOKEN),
        completion_tokens=read_count(usage, "completion_tokens", len(content) // BYTES_PER_TOKEN),
        tool_calls=calls,
    )
    if not text and not calls:
        _refuse_empty(reply, join_words(message.get("refusal")))
    return reply


def _refuse_empty(reply: ChatReply, refusal: str) -> None:
    """Raise RefusedRequestError for a reply whose answer a filter took, or whose model refused to give one."""
    if refusal:
        said = read_detail(refusal.encode("utf-8", "replace"))
        raise RefusedRequestError("model_refusal", f"the model refuses to answer: {said}", reply)
    if reply.finish_reason == "content_filter":
        raise RefusedRequestError("content_filter", "a content filter took the answer", reply)


def _read_call(call: Mapping[str, Any]) -> ToolCall:
    """A call as the model wrote it. Arguments that the server has parsed are put back into JSON, whatever they are."""
    function = call["function"]
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else "" if arguments is None else orjson.dumps(arguments).decode()
    return ToolCall(read_name(call.get("id")), read_name(function["name"]), text)


def split_thinking(answer: str, kept_apart: bool = False) -> tuple[str, str]:
    """What was thought and what was answered, where a server leaves both in one text.

    Only a block that opens the reply is thinking; what an answer quotes is not. Templates of some reasoning models
    (DeepSeek-R1, QwQ, Qwen3-Thinking) open the block in the prompt, so that its end alone is seen. These models write
    it on a line of its own, or an empty line after it: there a closing tag counts as theirs, unless an opening one
    stands before it or the server has `kept_apart` what was thought.
    """
    opened = OPENED.match(answer)
    if opened:
        return opened.group(1), answer[opened.end() :].lstrip()
    closed = None if kept_apart else CLOSED.search(answer)
    if closed and "<think>" not in answer[: closed.start()]:
        return answer[: closed.start()], answer[closed.end() :].lstrip()
    return "", answer


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first stop string; some servers leave it in."""
    places = [place for place in (text.find(mark) for mark in stop if mark) if place >= 0]
    return text[: min(places)] if places else text
