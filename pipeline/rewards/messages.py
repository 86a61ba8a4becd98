"""Messages in any form that trainers pass: readable texts, and tool calls that may be malformed.

A message may have its text in parts, its thought in a separate field (`reasoning_content`, `thinking`), and
`tool_calls` of any shape, with or without ids. A malformed message counts as one of the user's; a malformed call counts
as a call of nothing, so that the format is broken and nothing raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.renderings import THOUGHT_FIELDS, ChatMessage, ChatRole, Segment, SegmentKind, ToolUse


def read_messages(completion: object) -> tuple[ChatMessage, ...]:
    """Return the messages of a completion that is not text."""
    if isinstance(completion, Mapping):
        return (_read_message(completion),)
    return tuple(map(_read_message, completion)) if isinstance(completion, Iterable) else ()


def clean_text(value: object) -> str:
    """Return a value as readable, storable text: Unix line ends, no unpaired surrogates."""
    text = value if isinstance(value, str) else "" if value is None else _write(value)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def make_message(role: ChatRole, text: str, **more: Any) -> ChatMessage:
    """Make a message of one segment."""
    kind = SegmentKind.THINK if role is ChatRole.ASSISTANT else SegmentKind.OBSERVATION
    return ChatMessage(role=role, segments=(Segment(kind=kind, text=text),), **more)


def _read_message(message: object) -> ChatMessage:
    if not isinstance(message, Mapping):
        return make_message(ChatRole.USER, clean_text(message))
    name = message.get("role")
    role = ChatRole(name) if isinstance(name, str) and name in list(ChatRole) else ChatRole.USER
    text, thought = _read_content(_plain(message.get("content")))
    if role is not ChatRole.ASSISTANT:
        answers = _plain(message.get("tool_call_id"))
        # An id of another type is written as text, as the id of its call is.
        return make_message(role, text, answers_call=None if answers is None else clean_text(answers))
    thought = thought or _read_thought(message)
    if thought.strip() and not text.lstrip().startswith("<think>"):
        text = f"<think>\n{thought}\n</think>\n\n{text}"
    return make_message(role, text, tools=tuple(map(_read_use, _list_calls(_plain(message.get("tool_calls"))))))


def _plain(value: object) -> object:
    """Convert a numpy array to a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def _read_thought(message: Mapping[str, Any]) -> str:
    given = (clean_text(_plain(message.get(name))) for name in THOUGHT_FIELDS)
    return next(filter(None, given), "")


def _read_content(content: object) -> tuple[str, str]:
    """Return text and thought of a content: a text, or parts of the types text and thinking."""
    if not isinstance(content, list | tuple):
        return clean_text(content), ""
    texts, thoughts = [], []
    for part in content:
        if isinstance(part, Mapping):
            thoughts.append(clean_text(part.get("thinking")))
            texts.append(clean_text(part.get("text")))
        else:
            texts.append(clean_text(part))
    return "".join(texts), "".join(thoughts)


def _list_calls(calls: object) -> list[object]:
    return list(calls) if isinstance(calls, list | tuple) else [calls] if calls else []


def _read_use(call: object) -> ToolUse:
    fields = call if isinstance(call, Mapping) else {}
    inner = fields.get("function")
    function = inner if isinstance(inner, Mapping) else fields
    arguments = _plain(function.get("arguments"))
    return ToolUse(
        call_id=clean_text(_plain(fields.get("id"))),
        name=clean_text(function.get("name")),
        arguments=clean_text(arguments) if isinstance(arguments, str) else _write(arguments),
    )


def _write(value: object) -> str:
    """Return a value as JSON; empty if that is impossible."""
    try:
        return clean_text(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return ""
