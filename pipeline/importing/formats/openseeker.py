"""Rows of OpenSeeker: `question`, `answer`, `trajectory` (messages), `trajectory correctness`, `number of tool calls`.

Thoughts, calls and results stand between tags in the messages of assistant and user.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

from pipeline.importing.attempt import ForeignAttempt
from pipeline.importing.dialogues import read_dialogue
from pipeline.importing.fields import find_text, read_golds
from schemas.imports import ImportFormat


def is_openseeker(row: Mapping[str, Any]) -> bool:
    """Return whether a row has the columns of OpenSeeker."""
    return {"question", "answer", "trajectory"} <= row.keys()


def read_openseeker(row: Mapping[str, Any]) -> ForeignAttempt:
    """Return the attempt of a row. Raises RowError."""
    messages = row.get("trajectory")
    if isinstance(messages, str):
        with suppress(orjson.JSONDecodeError):
            messages = orjson.loads(messages)
    dialogue = read_dialogue(messages)
    question = find_text(row, "question") or dialogue.question
    return ForeignAttempt(question, read_golds(row.get("answer")), ImportFormat.OPENSEEKER.value, dialogue)
