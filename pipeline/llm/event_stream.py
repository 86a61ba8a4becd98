"""Streamed replies: the server-sent events of the OpenAI protocols, assembled into the reply that they add up to.

Guarantees: text, reasoning in every spelling, tool calls and usage come out as an unstreamed reply has them; an error
among the events is the error of the reply; a stream that ends before its end was announced is a ValueError; time is
linear in the size of the stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.llm.reply_fields import REASONING_KEYS, find_error, parse_json, read_name

EVENT_STREAM = "text/event-stream"
FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
"""Beginnings of the lines of an event stream."""
DONE = b"[DONE]"


class MessageParts:
    """What the chunks of a choice have added up to."""

    def __init__(self) -> None:
        self.finish: Any = None
        self.error: Any = None
        self._pieces: dict[str, list[Any]] = {}
        self._calls: dict[int, dict[str, Any]] = {}
        self._indexes: dict[str, int] = {}
        """Indexes of calls by id, for servers that give no index."""
        self._last = 0

    def add(self, choice: Mapping[str, Any]) -> None:
        """Add the choice of a chunk, of a chat or of a completion."""
        delta = choice.get("delta") or choice.get("message") or {}
        for key in ("content", "refusal", *REASONING_KEYS):
            self._collect(key, delta.get(key))
        for key in ("text", "token_ids"):
            self._collect(key, choice.get(key))
        for call in delta.get("tool_calls") or ():
            self._add_call(call)
        self.finish = choice.get("finish_reason") or self.finish
        self.error = choice.get("error") or self.error

    def _collect(self, key: str, value: Any) -> None:
        if value is not None:
            self._pieces.setdefault(key, []).extend(value if isinstance(value, list) else [value])

    def _add_call(self, piece: Mapping[str, Any]) -> None:
        call_id, index = read_name(piece.get("id")), piece.get("index")
        if not isinstance(index, int):
            index = self._indexes.get(call_id, len(self._calls)) if call_id else self._last
        self._last = self._indexes[call_id] = index
        call = self._calls.setdefault(index, {"id": call_id, "name": "", "arguments": []})
        function = piece.get("function") or {}
        call["id"] = call["id"] or call_id
        call["name"] = call["name"] or read_name(function.get("name"))
        if function.get("arguments") is not None:
            call["arguments"].append(function["arguments"])

    def join(self) -> dict[str, Any]:
        """The choice of an unstreamed reply."""
        pieces = dict(self._pieces)
        text, ids = pieces.pop("text", None), pieces.pop("token_ids", None)
        message: dict[str, Any] = {key: _join(values) for key, values in pieces.items()}
        if self._calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": _join_arguments(call["arguments"])},
                }
                for _, call in sorted(self._calls.items())
            ]
        choice = {"message": message, "finish_reason": self.finish, "error": self.error}
        return choice | ({} if text is None else {"text": _join(text)}) | ({} if ids is None else {"token_ids": ids})


def is_stream(content: bytes) -> bool:
    """Whether a body is an event stream, whatever its content type says."""
    return content[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(FIELDS)


def assemble_stream(content: bytes) -> dict[str, Any]:
    """The reply that an event stream adds up to. Raises ValueError, TypeError or AttributeError where it is broken."""
    parts, usage, done, found = MessageParts(), None, False, False
    for event, data in read_events(content):
        if data.strip() == DONE:
            done = True
            break
        chunk = parse_json(data)
        if error := (find_error(chunk) or (chunk if event == b"error" else None)):
            return {"error": error}
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices") or ():
            if not choice.get("index"):
                found = True
                parts.add(choice)
    if not done and parts.finish is None:
        raise ValueError("the stream ends early")
    return {"choices": [parts.join()] if found else [], "usage": usage}


def read_events(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each event. One without the empty line that ends it counts: servers forget the last."""
    name = b""
    data: list[bytes] = []
    for line in [*content.removeprefix(b"\xef\xbb\xbf").splitlines(), b""]:
        field, _, value = line.partition(b":")
        if not line:
            if data:
                yield name, b"\n".join(data)
            name, data = b"", []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.strip()


def _join(pieces: list[Any]) -> Any:
    """Text where all pieces are, else the list of parts."""
    return "".join(pieces) if all(isinstance(piece, str) for piece in pieces) else pieces


def _join_arguments(pieces: list[Any]) -> Any:
    """JSON as text, or the values of a server that parses it."""
    return pieces[-1] if pieces and not isinstance(pieces[-1], str) else "".join(map(str, pieces))
