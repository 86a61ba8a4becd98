"""The OpenAI chat protocol: what a request looks like when sent, and what a reply means.

Guarantees: the body of a request is a function of the request and its role's configuration alone, so it serves as the
request's identity; reasoning and answer are separated, however a server mixes them; reading takes linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.http.errors import read_detail
from pipeline.llm.chat_model import ChatReply, ChatRequest, Message, RefusedRequestError, ToolCall
from pipeline.llm.event_stream import assemble_stream, is_stream
from pipeline.llm.reply_fields import (
    join_text,
    parse_json,
    read_content,
    read_count,
    read_finish,
    read_name,
    read_reasoning,
    take_choice,
)
from schemas.llm_config import RoleModelConfig

TAGS = "think|thinking|thought|reasoning|seed:think"
OPENED = re.compile(
    rf"\s*(?:<(?P<tag>{TAGS})>(?P<text>.*?)(?:</(?P=tag)>|\Z)|\[THINK\](?P<bracketed>.*?)(?:\[/THINK\]|\Z))", re.DOTALL
)
"""Thinking that opens a reply; never closed, it is all there is."""
CLOSED = re.compile(rf"^[ \t]*</({TAGS})>[ \t\r]*$|</({TAGS})>[ \t\r]*\n[ \t\r]*(?:\n|\Z)", re.MULTILINE)
"""The end of thinking that the prompt has opened: alone on its line, or before an empty line."""
CHANNEL = re.compile(r"(?:<\|start\|>\w*)?<\|channel\|>(\w+)[^<]*<\|message\|>")
"""The head of a message in Harmony, the format of gpt-oss, where a server leaves it in the text."""
CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>\s*\Z")
REPLY_CAPS = ("max_tokens", "max_completion_tokens")
"""Parameters that cap a reply."""
BYTES_PER_TOKEN = 4
"""For servers that report no usage: an estimate is better for a budget than nothing."""


class MalformedReplyError(Exception):
    """A body that is cut off, or not a reply at all. The next one may be whole."""


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
    # A null in `extra` takes a key away.
    body = {key: value for key, value in (body | role.extra).items() if value is not None}
    for name in REPLY_CAPS if request.widening > 1 else ():
        if isinstance(body.get(name), int):
            body[name] *= request.widening
    return body


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

    Raises MalformedReplyError for a body that is not a reply, HttpStatusError for an error in it, RefusedRequestError
    where a content filter took the answer or the model refuses to give one.
    """
    try:
        values = assemble_stream(content) if is_stream(content) else parse_json(content)
        choice = take_choice(values)
        message = choice["message"] if "message" in choice else choice["delta"]
        answer, thought, refusal = read_content(message.get("content"))
        reasoning = read_reasoning(message) or thought
        calls = tuple(_read_call(call) for call in _list_calls(message))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise MalformedReplyError(f"not a chat completion ({type(error).__name__}): {read_detail(content)}") from None
    opened, text = split_thinking(answer, kept_apart=bool(reasoning))
    usage = values.get("usage")
    size = len(answer) + len(reasoning) if is_stream(content) else len(content)
    reply = ChatReply(
        text=cut_at_stop(text, stop),
        reasoning=(reasoning or opened).strip(),
        finish_reason=read_finish(choice),
        model=model,
        prompt_tokens=read_count(usage, "prompt_tokens", body_bytes // BYTES_PER_TOKEN),
        completion_tokens=read_count(usage, "completion_tokens", size // BYTES_PER_TOKEN),
        tool_calls=calls,
    )
    if not text and not calls:
        _refuse_empty(reply, join_text(message.get("refusal")) or refusal)
    return reply


def _refuse_empty(reply: ChatReply, refusal: str) -> None:
    """Raise RefusedRequestError for a reply whose answer a filter took, or whose model refused to give one."""
    if refusal:
        quoted = read_detail(refusal.encode("utf-8", "replace"))
        raise RefusedRequestError("model_refusal", f"the model refuses to answer: {quoted}", reply)
    if reply.finish_reason == "content_filter":
        raise RefusedRequestError("content_filter", "a content filter took the answer", reply)


def _list_calls(message: Mapping[str, Any]) -> list[Any]:
    """The tool calls of a message; `function_call` is how a single one was written before."""
    if message.get("tool_calls"):
        return list(message["tool_calls"])
    return [{"function": message["function_call"]}] if message.get("function_call") else []


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
    if CHANNEL.match(answer):
        return _split_channels(answer)
    opened = OPENED.match(answer)
    if opened:
        return opened["text"] or opened["bracketed"] or "", answer[opened.end() :].lstrip()
    closed = None if kept_apart or "</" not in answer else CLOSED.search(answer)
    if closed and f"<{closed[1] or closed[2]}>" not in answer[: closed.start()]:
        return answer[: closed.start()], answer[closed.end() :].lstrip()
    return "", answer


def _split_channels(answer: str) -> tuple[str, str]:
    """The same of a reply in Harmony: the channel `final` is the answer."""
    _, *pieces = CHANNEL.split(answer)
    spoken = [(channel, CHANNEL_END.sub("", text)) for channel, text in zip(pieces[::2], pieces[1::2], strict=True)]
    thought = "\n".join(text for channel, text in spoken if channel != "final")
    return thought, "".join(text for channel, text in spoken if channel == "final")


def cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    """The text before the first stop string; some servers leave it in."""
    places = [place for place in (text.find(mark) for mark in stop if mark) if place >= 0]
    return text[: min(places)] if places else text
