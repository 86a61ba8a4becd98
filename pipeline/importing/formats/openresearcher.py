"""Rows of OpenResearcher: `qid`, `question`, `answer` and `messages`.

The published data have the messages of Harmony (role, channel, recipient, content in parts); its code also writes those
of OpenAI (`reasoning_content`, `tool_calls`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.importing.attempt import ForeignAttempt
from pipeline.importing.dialogues import read_dialogue
from pipeline.importing.errors import RowError
from pipeline.importing.fields import find_text, list_objects, read_golds
from schemas.imports import ImportFormat

FAILED = "failed_attempt"


def is_openresearcher(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the columns of OpenResearcher."""
    return {"question", "answer", "messages"} <= row.keys()


def read_openresearcher(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a row. Raises RowError."""
    if row.get("status") == "fail" or row.get("error"):
        raise RowError(FAILED, find_text(row, "error")[:200])
    dialogue = read_dialogue(list(_join_channels(list_objects(row.get("messages"), "messages"))))
    question = find_text(row, "question") or dialogue.question
    name = find_text(row, "model", "model_name") or ImportFormat.OPENRESEARCHER.value
    return ForeignAttempt(question, read_golds(row.get("answer")), name, dialogue)


def _join_channels(messages: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return Harmony's messages as OpenAI's: thoughts of the channel analysis, calls by their recipient."""
    for message in messages:
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
