"""Results of web search services, read from their JSON: title, address and text.

Guarantees: text is plain, on one line, encodable and of bounded length; entries without title or text are skipped; a
reply that is not a JSON object, or lacks the keys of every reply of the service, is unreadable and not an empty list.
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

MAX_TEXT_CHARS, MAX_TITLE_CHARS = 4_000, 300

_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_ENCYCLOPEDIA = re.compile(r"(^|\.)(wikipedia\.org|wikiwand\.com)$")


@dataclass(frozen=True, slots=True)
class WebResult:
    """One entry of a result list."""

    title: str
    """Title of the page, or of its encyclopedia article."""
    url: str
    """Address of the page; may be empty."""
    text: str
    """Excerpt."""

    def make_passage(self) -> FoundPassage:
        """The result as a passage; another excerpt of the same page is another passage."""
        return FoundPassage(content_id("web", self.url, self.title, self.text), self.title, self.text)


def read_object(reply: ServiceReply) -> dict[str, Any]:
    """The JSON object of a reply. Raises UnreadableSearchReplyError for anything else."""
    try:
        value = orjson.loads(reply.content)
    except orjson.JSONDecodeError:
        start = " ".join(_TAG.sub(" ", reply.content[:400].decode("utf-8", "replace")).split())[:80]
        raise UnreadableSearchReplyError(f"the reply is not JSON; it begins: {start!r}") from None
    if not isinstance(value, dict):
        raise UnreadableSearchReplyError("the reply is not a JSON object")
    return value


def find_list(fields: Mapping[str, Any], path: Sequence[str], signs: Sequence[str]) -> list[Mapping[str, Any]]:
    """The objects of the list at `path`, which may be absent only beside one of the keys `signs`.

    Raises UnreadableSearchReplyError.
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
    """Results of (title, address, texts or lists of texts), in order, without duplicates."""
    results: dict[WebResult, None] = {}
    for title, url, texts in entries:
        address = url if isinstance(url, str) else ""
        parts = (part for text in texts for part in (text if isinstance(text, list) else [text]))
        text = " ".join(filter(None, (_clean(part, marked_up) for part in parts)))[:MAX_TEXT_CHARS]
        heading = find_article(address) or _clean(title, marked_up)[:MAX_TITLE_CHARS]
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
    return "" if last.endswith(".php") else _clean(last.replace("_", " "), marked_up=False)[:MAX_TITLE_CHARS]


def _clean(value: object, marked_up: bool) -> str:
    if not isinstance(value, str):
        return ""
    text = html.unescape(_TAG.sub("", value)) if marked_up else value
    writable = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c for c in writable if unicodedata.category(c) != "Cc" or c.isspace()).split())
