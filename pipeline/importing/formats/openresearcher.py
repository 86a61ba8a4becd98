"""Rows of OpenResearcher: `qid`, `question`, `answer` and `messages`.

The published data have the messages of Harmony (role, channel, recipient, content in parts); its code also writes those
of OpenAI (`reasoning_content`, `tool_calls`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.importing.attempt import Dialogue, ForeignAttempt, RowError
from pipeline.importing.dialogues import BAD_MESSAGES, list_texts, read_dialogue, require_text
from schemas.imports import ImportFormat

FAILED = "failed_attempt"


def is_openresearcher(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the columns of OpenResearcher."""
    return {"question", "answer", "messages"} <= row.keys()


def read_openresearcher(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a row. Raises RowError."""
    if row.get("status") == "fail" or row.get("error"):
        raise RowError(FAILED, require_text(row, "error")[:200])
    messages = row.get("messages")
    if not isinstance(messages, list):
        raise RowError(BAD_MESSAGES, "messages are not a list")
    dialogue: Dialogue = read_dialogue(list(_join_channels(messages)))
    question = require_text(row, "question") or dialogue.question
    name = require_text(row, "model", "model_name") or ImportFormat.OPENRESEARCHER.value
    return ForeignAttempt(question, list_texts(row.get("answer")), name, dialogue)


def _join_channels(messages: list[Any]) -> Iterator[dict[str, Any]]:
    """Return Harmony's messages as OpenAI's: thoughts of the channel analysis, calls by their recipient."""
    for message in messages:
        if not isinstance(message, Mapping):
            raise RowError(BAD_MESSAGES, "a message is not an object")
        plain, recipient = dict(message), message.get("recipient")
        if message.get("role") == "assistant" and isinstance(recipient, str) and recipient not in ("", "assistant"):
            arguments = _join_parts(message.get("content"))
            plain |= {"content": "", "tool_calls": [{"name": recipient, "arguments": arguments}]}
        elif message.get("role") == "assistant" and message.get("channel") == "analysis":
            plain |= {"content": "", "reasoning_content": _join_parts(message.get("content"))}
        yield plain


def _join_parts(content: object) -> str:
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))
