"""Finding the objects and tags that a model wrote, anywhere in its reply.

Promises: text is only ever parsed, never evaluated; an object inside another, or inside one that is broken, is not an
offer (a quoted answer may hold a fake one); the time is linear in the text, whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

THOUGHT = re.compile(r"\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.IGNORECASE | re.DOTALL)
MAX_OPENINGS = 50
"""Braces that are tried before a reply counts as rubbish."""
LONGEST = 30_000
"""Characters of a reply that are looked at: the last ones."""
NEVER = -1
"""Where a brace is closed that is not."""

_DECODER = json.JSONDecoder(strict=False)  # a line break inside a string is a common slip
_MARK = re.compile(r'[{}"]')
_REST_OF_STRING = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # possessive: a failure costs one pass
_OBJECT_OPENING = re.compile(r"\{\s*\"")
_LOOSE_COMMA = re.compile(r",(?=\s*[}\]])")


@dataclass(frozen=True, slots=True)
class Offer:
    """Something in a reply that may be what was asked for."""

    start: int
    """Where it begins."""
    end: int
    """Just past it."""
    fields: dict[str, object] | None
    """What it says, unchecked; None when it is broken."""


def drop_thoughts(text: str) -> str:
    """What comes after a thought that opens the reply: it offers nothing, and one never closed is all there is."""
    thought = THOUGHT.match(text)
    return text[thought.end() if thought else 0 :][-LONGEST:]


def find_objects(text: str) -> Iterator[Offer]:
    """Every outermost JSON object, in order. A comma too many is forgiven, nothing else is.

    An object that is never closed is broken and reaches to the end of the text.
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
    """The text with spaces where the offers stand: what they quote is nobody's word."""
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
    """The opening brace at `at`, and those inside it, with the place just past the brace that closes each, or `NEVER`.

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
            # Where one string never ends, no later one does: both would end at the same quotation mark.
            strings_end = string is not None
            at = string.end() if string else at
    return ends | dict.fromkeys(opened, NEVER)


def find_tagged(text: str, tag: str) -> Iterator[tuple[int, str]]:
    """Where each `<tag>...</tag>` begins, and what is in it; neither nested nor unclosed ones."""
    for match in re.finditer(rf"<{tag}>([^<]*)</{tag}>", text, re.IGNORECASE):
        yield match.start(), match[1].strip()
