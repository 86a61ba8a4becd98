"""What web search services answer with, whatever their JSON looks like: results with a title, an address and a text.

Promises: text comes out plain, on one line, writable and of bounded length; an entry without title or text is passed
over; a reply that is no JSON object, or lacks what every answer of the service has, is unreadable and never an empty
list.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from pipeline.search.engine import FoundPassage
from pipeline.search.remote.service import ServiceReply, UnreadableSearchReplyError
from schemas.record import content_id

LONGEST_TEXT = 4_000
"""Characters kept of a result."""
LONGEST_TITLE = 300

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_ENCYCLOPEDIA = re.compile(r"(^|\.)(wikipedia\.org|wikiwand\.com)$")


@dataclass(frozen=True, slots=True)
class WebResult:
    """One entry of a result list."""

    title: str
    """Title of the page, of its encyclopedia article where the address names one."""
    url: str
    """Address of the page; empty when the service gives none."""
    text: str
    """What the service shows of it."""

    def make_passage(self) -> FoundPassage:
        """The result as a passage; the same page shown with another text is another passage."""
        return FoundPassage(content_id("web", self.url, self.title, self.text), self.title, self.text)


def read_object(reply: ServiceReply) -> dict[str, Any]:
    """The JSON object of a reply. Raises UnreadableReplyError for anything else."""
    try:
        value = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        start = " ".join(_TAG.sub(" ", reply.content[:400].decode("utf-8", "replace")).split())[:80]
        raise UnreadableSearchReplyError(f"the reply is no JSON; it begins: {start!r}") from None
    if not isinstance(value, dict):
        raise UnreadableSearchReplyError("the reply is no JSON object")
    return value


def find_list(fields: Mapping[str, Any], path: Sequence[str], signs: Sequence[str]) -> list[Mapping[str, Any]]:
    """The objects of the list at `path`. It may be absent where one of `signs`, keys that every answer has, is there.

    Raises UnreadableReplyError.
    """
    value: Any = fields
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None and any(sign in fields for sign in signs):
        return []
    if not isinstance(value, list):
        raise UnreadableSearchReplyError(f"the reply holds no {'.'.join(path)}; it holds {sorted(fields)[:8]}")
    return [entry for entry in value if isinstance(entry, Mapping)]


def collect(entries: Iterable[tuple[object, object, Iterable[object]]], marked_up: bool = False) -> list[WebResult]:
    """Results of (title, address, texts), in order, no page with the same text twice."""
    results: dict[WebResult, None] = {}
    for title, url, texts in entries:
        address = url if isinstance(url, str) else ""
        text = " ".join(filter(None, (_clean(text, marked_up) for text in texts)))[:LONGEST_TEXT]
        heading = find_article(address) or _clean(title, marked_up)[:LONGEST_TITLE]
        if heading and text:
            results[WebResult(heading, address, text)] = None
    return list(results)


def find_article(url: str) -> str:
    """Title of the encyclopedia article at an address; empty for any other page."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not _ENCYCLOPEDIA.search(parts.hostname or ""):
        return ""
    named = parse_qs(parts.query).get("title")
    last = named[0] if named else unquote(parts.path.rstrip("/").rpartition("/")[2] if "/" in parts.path[1:] else "")
    if "/wiki/" in parts.path:  # a title may hold a slash
        last = unquote(parts.path.partition("/wiki/")[2])
    return "" if last.endswith(".php") else _clean(last.replace("_", " "), marked_up=False)[:LONGEST_TITLE]


def _clean(value: object, marked_up: bool) -> str:
    if not isinstance(value, str):
        return ""
    text = html.unescape(_TAG.sub("", value)) if marked_up else value
    writable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c for c in writable if unicodedata.category(c) != "Cc" or c.isspace()).split())
