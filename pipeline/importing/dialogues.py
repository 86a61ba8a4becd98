"""Dialogue from the messages of a chat: questions, thoughts, calls wherever they stand, and their results.

A thought stands in a field of its own, in a message before, or between `<think>` tags; calls in a field, or between
`<tool_call>` tags; results in messages of the role tool, or of the user between `<tool_response>` tags.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from pipeline.importing.attempt import Dialogue, ForeignCall, ForeignStep
from pipeline.importing.errors import RowError
from pipeline.importing.fields import BAD_MESSAGES, list_objects
from pipeline.rendering.tag_pairs import drop_pairs, find_pairs
from pipeline.rewards.messages import read_messages
from schemas.renderings import ChatMessage, ChatRole

_CALL = re.compile("<tool_call>"), "</tool_call>"
_CALL_MARKS = re.compile(r"</?tool_calls?(?:_begin|_end)?>")
_RESPONSE = re.compile("<tool_response>"), "</tool_response>"
NO_QUESTION, SEVERAL_QUESTIONS, BAD_CALL, STRAY_RESULT = (
    *("no_question", "several_questions", "bad_call", "stray_result"),
)


def read_dialogue(messages: object) -> Dialogue:
    """Return the dialogue of a list of messages. Raises RowError."""
    if not messages:
        raise RowError(BAD_MESSAGES, "the row has no messages")
    reader = _Reader()
    for message in read_messages([_name_role(each) for each in list_objects(messages, "messages")]):
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
        self._waiting: list[ForeignCall] = []
        """Calls of the last turn."""
        self._unanswered: OrderedDict[int, str] = OrderedDict()
        """Places and ids of those without a result."""
        self._places: dict[str, deque[int]] = {}
        """Their places by id."""

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
        results = [pair.inside.strip() for pair in find_pairs(text, *_RESPONSE)]
        for result in results:
            self._take_result(result, None)
        if results:
            return
        if self._question is not None:
            raise RowError(SEVERAL_QUESTIONS, "the user speaks again")
        self._question = text.strip()

    def _take_result(self, text: str, call_id: str | None) -> None:
        place = self._find_call(call_id or "")
        self._places[self._unanswered.pop(place)].remove(place)
        self._waiting[place] = replace(self._waiting[place], result=text)

    def _find_call(self, call_id: str) -> int:
        """Return the place of the open call that a result answers: by its id, by its order where it or they have none.

        Raises RowError.
        """
        if named := self._places.get(call_id):
            return named[0]
        nameless = len(self._places.get("", ())) == len(self._unanswered) and call_id not in self._places
        if not self._unanswered or (call_id and not nameless):
            raise RowError(STRAY_RESULT, f"a result answers no open call: {call_id[:100]!r}")
        return next(iter(self._unanswered))

    def _take_turn(self, message: ChatMessage) -> None:
        self._close_step()
        thought, text = _split_thought(message.content)
        calls = [(use.call_id, use.name, read_arguments(use.arguments)) for use in message.tools]
        if not calls:
            calls = [("", *_read_call(pair.inside)) for pair in find_pairs(text, *_CALL)]
            text = _CALL_MARKS.sub("", drop_pairs(text, *_CALL))
        self._thoughts += [thought] if thought else []
        if calls:
            self._thoughts += [text.strip()] if text.strip() else []
            self._wait_for(calls)
            self._reply = ""
            return
        self._thoughts += [self._reply] if self._reply else []
        self._reply = text.strip()

    def _wait_for(self, calls: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
        """Take the calls of a turn: id, name and arguments."""
        for place, (call_id, name, arguments) in enumerate(calls):
            if not name.strip():
                raise RowError(BAD_CALL, "a call has no name")
            self._waiting.append(ForeignCall(name, arguments, None))
            self._unanswered[place] = call_id
            self._places.setdefault(call_id, deque()).append(place)

    def _close_step(self) -> None:
        if self._waiting:
            self._steps.append(ForeignStep("\n\n".join(self._thoughts), tuple(self._waiting)))
            self._waiting, self._thoughts = [], []
            self._unanswered, self._places = OrderedDict(), {}

    def finish(self) -> Dialogue:
        """Return the dialogue. Raises RowError."""
        self._close_step()
        if not self._question:
            raise RowError(NO_QUESTION, "no message of the user")
        return Dialogue(self._question, tuple(self._steps), "\n\n".join(self._thoughts), self._reply)


def _split_thought(text: str) -> tuple[str, str]:
    thought, closed, rest = text.partition("</think>")
    return (thought.strip().removeprefix("<think>").strip(), rest) if closed else ("", text)


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
            value = orjson.loads(value) if value.strip() else {}
        except orjson.JSONDecodeError:
            raise RowError(BAD_CALL, "the arguments of a call are not JSON") from None
    if not isinstance(value, Mapping):
        raise RowError(BAD_CALL, "the arguments of a call are not an object")
    return value
