"""Dialogue from the messages of a chat: questions, thoughts, calls wherever they stand, and their results.

A thought stands in a field of its own, in a message before, or between `<think>` tags; calls in a field, or between
`<tool_call>` tags; results in messages of the role tool, or of the user between `<tool_response>` tags.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.importing.attempt import Dialogue, ForeignCall, ForeignStep, RowError
from pipeline.rewards.messages import read_messages
from schemas.renderings import ChatMessage, ChatRole

_THINK = re.compile(r"\A\s*(?:<think>)?(.*?)</think>", re.DOTALL)
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_CALL_MARKS = re.compile(r"</?tool_calls?(?:_begin|_end)?>")
_RESPONSE = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)
BAD_MESSAGES, NO_QUESTION, SEVERAL_QUESTIONS, BAD_CALL, STRAY_RESULT = (
    *("bad_messages", "no_question", "several_questions", "bad_call", "stray_result"),
)


def read_dialogue(messages: object) -> Dialogue:
    """Return the dialogue of a list of messages. Raises RowError."""
    if not isinstance(messages, list) or not messages or not all(isinstance(each, Mapping) for each in messages):
        raise RowError(BAD_MESSAGES, "messages are not a list of objects")
    reader = _Reader()
    for message in read_messages([_name_role(each) for each in messages]):
        reader.take(message)
    return reader.finish()


def _name_role(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message with a role that chats have."""
    names = {"developer": "system", "function": "tool", "ipython": "tool", "observation": "tool", "agent": "assistant"}
    role = message.get("role")
    return {**message, "role": names.get(role, role) if isinstance(role, str) else role}


class _Reader:
    def __init__(self) -> None:
        self._question: str | None = None
        self._steps: list[ForeignStep] = []
        self._thoughts: list[str] = []
        self._reply = ""
        self._waiting: list[tuple[str, str, Mapping[str, Any], str | None]] = []
        """Calls of the last turn: id, name, arguments and result."""

    def take(self, message: ChatMessage) -> None:
        """Take the next message. Raises RowError."""
        text = message.content
        if message.role is ChatRole.USER:
            self._take_user(text)
        elif message.role is ChatRole.TOOL:
            self._take_result(text, message.answers_call)
        elif message.role is ChatRole.ASSISTANT:
            self._take_turn(message)

    def _take_user(self, text: str) -> None:
        results = [match[1].strip() for match in _RESPONSE.finditer(text)]
        for result in results:
            self._take_result(result, None)
        if results:
            return
        if self._question is not None:
            raise RowError(SEVERAL_QUESTIONS, "the user speaks again")
        self._question = text.strip()

    def _take_result(self, text: str, call_id: str | None) -> None:
        open_calls = [place for place, call in enumerate(self._waiting) if call[3] is None]
        named = [place for place in open_calls if call_id and self._waiting[place][0] == call_id]
        if not open_calls:
            raise RowError(STRAY_RESULT, "a result answers no call")
        place = (named or open_calls)[0]
        self._waiting[place] = (*self._waiting[place][:3], text)

    def _take_turn(self, message: ChatMessage) -> None:
        self._close_step()
        thought, text = _split_thought(message.content)
        calls = [(use.call_id, use.name, read_arguments(use.arguments)) for use in message.tools]
        if not calls:
            calls = [("", *_read_call(match[1])) for match in _CALL.finditer(text)]
            text = _CALL_MARKS.sub("", _CALL.sub("", text))
        self._thoughts += [thought] if thought else []
        if calls:
            self._thoughts += [text.strip()] if text.strip() else []
            self._waiting = [(*call, None) for call in calls]
            self._reply = ""
            return
        self._thoughts += [self._reply] if self._reply else []
        self._reply = text.strip()

    def _close_step(self) -> None:
        if self._waiting:
            calls = tuple(ForeignCall(name, arguments, result) for _, name, arguments, result in self._waiting)
            self._steps.append(ForeignStep("\n\n".join(self._thoughts), calls))
            self._waiting, self._thoughts = [], []

    def finish(self) -> Dialogue:
        """Return the dialogue. Raises RowError."""
        self._close_step()
        if not self._question:
            raise RowError(NO_QUESTION, "no message of the user")
        return Dialogue(self._question, tuple(self._steps), "\n\n".join(self._thoughts), self._reply)


def _split_thought(text: str) -> tuple[str, str]:
    match = _THINK.match(text)
    return (match[1].strip(), text[match.end() :]) if match else ("", text)


def _read_call(text: str) -> tuple[str, Mapping[str, Any]]:
    call = read_arguments(text)
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str):
        raise RowError(BAD_CALL, "a call has no name")
    return name, read_arguments(arguments)


def read_arguments(value: object) -> Mapping[str, Any]:
    """Return the arguments of a call, an object or JSON. Raises RowError."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except (ValueError, RecursionError):
            raise RowError(BAD_CALL, "the arguments of a call are not JSON") from None
    if not isinstance(value, Mapping):
        raise RowError(BAD_CALL, "the arguments of a call are not an object")
    return value


def require_text(row: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that holds text; empty for none."""
    found = (row.get(name) for name in names)
    return next((value.strip() for value in found if isinstance(value, str) and value.strip()), "")


def list_texts(value: object) -> tuple[str, ...]:
    """Return the texts of a value: one, or a list of them; without blanks and repeats."""
    values = [value] if isinstance(value, str | int | float) and not isinstance(value, bool) else value
    texts = (str(each).strip() for each in values) if isinstance(values, Iterable) else ()
    return tuple(dict.fromkeys(text for text in texts if text))
