"""The fields of a reply in the OpenAI protocols, whatever shape a server gives them.

Guarantees: a field beside the answer never costs the answer: one of another shape, or a number that cannot be true,
counts as unreported; an error that a server puts into a 200 is raised as the status that it stands for; a body may be
nested however deep; time is linear in the size of the body. What cannot be read at all is a ValueError, KeyError,
IndexError or TypeError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.http.errors import UNPAID, HttpStatusError, UnavailableError, make_status_error

MOST_TOKENS = 10**9
"""More tokens than any request has: a server that reports more has not counted."""
REASONING_PARTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
"""Types of the parts of a reply that hold reasoning."""
REASONING_KEYS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "reasoning_text",
    "reasoning_details",
    "thinking_blocks",
)
"""Keys of a message that hold reasoning; some servers repeat it under several."""
TEXT_KEYS = ("text", "content", "thinking", "reasoning", "summary")
"""Keys of an object that hold text."""
FINISH_REASONS = {
    **dict.fromkeys(("max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(
        ("safety", "recitation", "blocklist", "prohibited_content", "sensitive", "refusal"), "content_filter"
    ),
    **dict.fromkeys(("eos", "eos_token", "end_turn", "stop_sequence"), "stop"),
    **dict.fromkeys(("tool_use", "function_call"), "tool_calls"),
}
"""Names of other APIs for those of OpenAI."""
BROKEN_OFF = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "network_error",
        "insufficient_system_resource",
        "malformed_function_call",
    }
)
"""Finish reasons of a reply that its server gave up: the next one may be whole."""
SLOW_DOWN = re.compile(r"rate.?limit|too many requests|overloaded|temporarily", re.IGNORECASE)


def parse_json(content: bytes) -> Any:
    """Parse what orjson refuses too: half a surrogate pair as an escape, NaN. Raises ValueError."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            values = json.loads(content, parse_constant=lambda _: None)
            return orjson.loads(json.dumps(values, ensure_ascii=False).encode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deeply") from None


def take_choice(values: Any) -> Mapping[str, Any]:
    """The first choice of a reply. Raises HttpStatusError for an error in its place, and for a reply broken off."""
    if not isinstance(values, Mapping):
        raise TypeError("not an object")
    choices = values.get("choices")
    if not choices and (error := find_error(values)):
        raise read_error(error)
    if not isinstance(choices, list):
        raise KeyError("choices")
    choice = choices[0]
    if not isinstance(choice, Mapping):
        raise TypeError("a choice is not an object")
    finish = choice.get("finish_reason")
    broken_off = isinstance(finish, str) and finish.lower() in BROKEN_OFF
    if choice.get("error") or broken_off:
        raise read_error(choice.get("error") or f"finish_reason {finish}")
    return choice


def find_error(values: Mapping[str, Any]) -> Any:
    """The error in an object, under any key that servers give it; something empty for none."""
    if values.get("error") or values.get("errors"):
        return values.get("error") or values["errors"]
    return values if values.get("object") == "error" or values.get("type") == "error" else None


def read_error(error: Any) -> HttpStatusError:
    """An error in the body of a successful answer, as the status that its code or its text stands for."""
    fields = error if isinstance(error, Mapping) else {"message": error}
    text = join_text(fields.get("message")) or orjson.dumps(error).decode()
    for code in (fields.get("code"), fields.get("status"), fields.get("http_code")):
        if read_name(code).isdecimal() and 400 <= (status := int(read_name(code)[:9])) < 600:
            return make_status_error(status, text.encode(), {})
    kind = f"{text} {read_name(fields.get('code'))} {read_name(fields.get('type'))}"
    if UNPAID.search(kind):
        return make_status_error(402, text.encode(), {})
    if SLOW_DOWN.search(kind):
        return make_status_error(429, text.encode(), {})
    return UnavailableError(200, text.encode(), {})


def read_finish(choice: Mapping[str, Any]) -> str:
    """The finish reason, by OpenAI's name; `stop` where the server gives none."""
    finish = choice.get("finish_reason")
    return FINISH_REASONS.get(finish.lower(), finish) if isinstance(finish, str) and finish else "stop"


def read_count(usage: Any, key: str, estimate: int) -> int:
    """A number of tokens; the estimate where none is reported, or one that cannot be true."""
    count = usage.get(key) if isinstance(usage, Mapping) else None
    if isinstance(count, str) and count.isdecimal():
        count = float(count)
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= MOST_TOKENS:
        return estimate
    return int(count)


def read_content(content: Any) -> tuple[str, str, str]:
    """Answer, reasoning and refusal in a text or a list of parts. Raises TypeError for anything else."""
    if content is None or isinstance(content, str):
        return content or "", "", ""
    if not isinstance(content, list | Mapping):
        raise TypeError("the content is neither text nor parts")
    answer: list[str] = []
    reasoning: list[str] = []
    refusal: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "refusal":
            refusal.append(join_text(part.get("refusal")))
        else:
            (reasoning if kind in REASONING_PARTS else answer).append(join_text(part))
    return "".join(answer), "".join(reasoning), "".join(refusal)


def read_reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning beside an answer, under the first key that holds any."""
    return next((text for key in REASONING_KEYS if key in message and (text := join_text(message[key]))), "")


def read_name(value: Any) -> str:
    """A name or number as text; empty for anything that is neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def join_text(value: Any) -> str:
    """The text in a value, in order: a string, or what lists and objects hold of it, however deep."""
    pieces: list[str] = []
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, str):
            pieces.append(inner)
        elif isinstance(inner, list):
            pending += reversed(inner)
        elif isinstance(inner, Mapping):
            pending += [inner[key] for key in reversed(TEXT_KEYS) if key in inner]
    return "".join(pieces)
