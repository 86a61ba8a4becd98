"""Scanner for JSON objects and tags anywhere in a model's reply.

Guarantees: text is only ever parsed, never evaluated; an object inside another, or inside a malformed one, is not a
candidate (a quoted answer may contain a fake one); linear time for any text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

THOUGHT = re.compile(r"\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE | re.DOTALL)
MAX_OPENINGS = 50
"""Maximum braces that are tried before a reply is discarded."""
LONGEST = 30_000
"""Characters of a reply that are scanned, from its end."""
UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Characters that files cannot hold."""
NEVER = -1
"""Position of the closing brace of one that is never closed."""

_DECODER = json.JSONDecoder(strict=False)  # a line break inside a string is a common slip
_MARK = re.compile(r'[{}"]')
_REST_OF_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # possessive: a failure costs one pass
_OBJECT_OPENING = re.compile(r"\{\s*\"")
_LOOSE_COMMA = re.compile(r",(?=\s*[}\]])")


@dataclass(frozen=True, slots=True)
class Offer:
    """Candidate for the requested value in a reply."""

    start: int
    """Start offset."""
    end: int
    """End offset."""
    fields: dict[str, object] | None
    """Fields, unchecked; None when malformed."""


def drop_thoughts(text: str) -> str:
    """Return the text after a thought at the start of the reply; a thought contains no candidate, and an unclosed one
    is the whole reply.
    """
    thought = THOUGHT.match(text)
    return text[thought.end() if thought else 0 :][-LONGEST:]


def find_objects(text: str) -> Iterator[Offer]:
    """Return every outermost JSON object, in order. A trailing comma is tolerated, nothing else.

    An object that is never closed is malformed and extends to the end of the text.
    """
    at = 0
    ends: dict[int, int] = {}
    for _ in range(MAX_OPENINGS):
        at = text.find("{", at)
        if at < 0:
            return
        if at not in ends:
            ends = _match_braces(text, at)
        end = ends[at]
        if end == NEVER and not _OBJECT_OPENING.match(text, at):
            at += 1  # a brace in prose
            continue
        end = len(text) if end == NEVER else end
        yield Offer(at, end, _read_object(text, at, end))
        at = end


def blank_out(text: str, offers: Iterable[Offer]) -> str:
    """Return the text with the candidates replaced by spaces, since quotations in them do not count."""
    for offer in offers:
        text = text[: offer.start] + " " * (offer.end - offer.start) + text[offer.end :]
    return text


def _read_object(text: str, at: int, end: int) -> dict[str, object] | None:
    for written in (text[at:end], _LOOSE_COMMA.sub("", text[at:end])):
        try:
            fields = _DECODER.decode(written)
        except (ValueError, RecursionError):
            continue
        return fields if isinstance(fields, dict) else None
    return None


def _match_braces(text: str, at: int) -> dict[int, int]:
    """Match the opening brace at `at` and those inside it to the offset after their closing brace, or `NEVER`.

    Braces in strings do not count.
    """
    ends: dict[int, int] = {}
    opened: list[int] = []
    strings_end = True
    while mark := _MARK.search(text, at):
        at = mark.end()
        if mark[0] == "{":
            opened.append(mark.start())
        elif mark[0] == "}":
            ends[opened.pop()] = at
            if not opened:
                return ends
        elif strings_end:
            string = _REST_OF_STRING.match(text, at)
            # If one string never ends, no later one does: both would end at the same quotation mark.
            strings_end = string is not None
            at = string.end() if string else at
    return ends | dict.fromkeys(opened, NEVER)


def find_tagged(text: str, tag: str) -> Iterator[tuple[int, str]]:
    """Return the offset and content of each `<tag>...</tag>`, except nested or unclosed ones."""
    for match in re.finditer(rf"<{tag}>([^<]*)</{tag}>", text, re.IGNORECASE):
        yield match.start(), match[1].strip()
