"""The fields of a reply in the OpenAI protocols, whatever shape a server gives them.

Promises: a field beside the answer never costs the answer: one of another shape, or a number that cannot be true,
counts as unreported; an error that a server puts into a 200 is raised as the status that it stands for; a body may be
nested however deep. What cannot be read at all is a ValueError, KeyError, IndexError or TypeError.
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
THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking"})
"""Types of the parts of a reply that hold reasoning."""
WORDS = ("text", "content", "thinking", "reasoning", "summary")
"""Keys of an object that hold what was said."""
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
    """The first choice of a reply. Raises HttpStatusError for an error that stands in its place."""
    if not isinstance(values, Mapping):
        raise TypeError("not an object")
    choices = values.get("choices")
    if values.get("error") and not choices:
        raise read_error(values["error"])
    if not isinstance(choices, list):
        raise KeyError("choices")
    choice = choices[0]
    if not isinstance(choice, Mapping):
        raise TypeError("a choice is no object")
    if choice.get("error") or choice.get("finish_reason") == "error":
        raise read_error(choice.get("error"))
    return choice


def read_error(error: Any) -> HttpStatusError:
    """An error in the body of a successful answer, as the status that its code or its words stand for."""
    fields = error if isinstance(error, Mapping) else {"message": error}
    said = join_words(fields.get("message")) or (orjson.dumps(error).decode() if error else "error without words")
    for code in (fields.get("code"), fields.get("status")):
        if read_name(code).isdecimal() and 400 <= (status := int(read_name(code)[:9])) < 600:
            return make_status_error(status, said.encode(), {})
    if UNPAID.search(said):
        return make_status_error(402, said.encode(), {})
    if SLOW_DOWN.search(said):
        return make_status_error(429, said.encode(), {})
    return UnavailableError(200, said.encode(), {})


def read_finish(choice: Mapping[str, Any]) -> str:
    """Why the reply ends; `stop` where the server does not say."""
    finish = choice.get("finish_reason")
    return finish if isinstance(finish, str) and finish else "stop"


def read_count(usage: Any, key: str, estimate: int) -> int:
    """A number of tokens; the estimate where none is reported, or one that cannot be true."""
    count = usage.get(key) if isinstance(usage, Mapping) else None
    if isinstance(count, str) and count.isdecimal():
        count = float(count)
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 <= count <= MOST_TOKENS:
        return estimate
    return int(count)


def read_content(content: Any) -> tuple[str, str]:
    """What was answered and what was thought, of a text or a list of parts. Raises TypeError for anything else."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError("the content is neither text nor parts")
    answer: list[str] = []
    thought: list[str] = []
    for part in content:
        thinks = isinstance(part, Mapping) and part.get("type") in THOUGHTS
        (thought if thinks else answer).append(join_words(part))
    return "".join(answer), "".join(thought)


def read_name(value: Any) -> str:
    """A name or number as text; empty for anything that is neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def join_words(value: Any) -> str:
    """The text in a value, in order: a string, or what lists and objects hold of it, however deep."""
    words: list[str] = []
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            words.append(inner)
        elif isinstance(inner, list):
            waiting += reversed(inner)
        elif isinstance(inner, Mapping):
            waiting += [inner[key] for key in reversed(WORDS) if key in inner]
    return "".join(words)
