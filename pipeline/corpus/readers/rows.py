"""Conversion of a corpus row to a page: finds title, text and ids in the common layouts of Wikipedia corpora.

Supported: `title` and `text`; Search-R1's `id` and `contents`, which starts with the title in quotes; KILT's
`wikipedia_title` and list of paragraphs; Wikimedia's structured pages, with `name` and `sections`; wikiextractor's
`revid`. Guarantees: no row raises; one without title or text is a page with an `error` that names its keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.corpus.readers.byte_streams import decode_text
from pipeline.corpus.readers.raw_page import BROKEN_TEXT, PLAIN, TOO_LARGE, RawPage
from schemas.documents import LIST_MARK

TITLES = ("title", "wikipedia_title", "name")
SECTIONS = "sections"
TEXTS = ("text", "contents", "passage", SECTIONS, "article_body", "abstract")
PAGE_IDS = ("page_id", "id", "wikipedia_id", "identifier")
REVISION_IDS = ("revision_id", "revid")
FIELDS = (*TITLES, *TEXTS, *PAGE_IDS, *REVISION_IDS, "version", "namespace")
"""All fields that are read from a row."""

NO_PARAGRAPH = frozenset({"image", "infobox", "table", "reference", "citation"})
"""Types of a structured page's parts that contain no running text."""
KILT_SECTION, KILT_ITEM = "Section::::", "BULLET::::"
SHOWN_KEYS = 12
DIGITS = re.compile("[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Marker of a row that could not be read."""

    error: str
    fault: str = BROKEN_TEXT


def parse_row(line: str | None) -> Any:
    """Parse a line as JSON; return `Unreadable` if it is invalid or was too long to be read (None)."""
    if line is None:
        return Unreadable("a line too long to be read", TOO_LARGE)
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unreadable(f"not JSON: {error}")


def make_page(row: Any, source: str, ordinal: int, limit: int) -> RawPage:
    """Make the page of a row, its text truncated one character after `limit`."""
    if isinstance(row, Unreadable):
        return broken_page(source, ordinal, row.error, row.fault)
    if not isinstance(row, dict):
        return broken_page(source, ordinal, f"not an object but {type(row).__name__}")
    title, text = find_title_and_text(row)
    if not title or text is None:
        keys = sorted(str(key) for key in row)
        shown = ", ".join(keys[:SHOWN_KEYS]) + (", ..." if len(keys) > SHOWN_KEYS else "")
        return broken_page(source, ordinal, f"no title and text; keys seen: {shown or 'none'}")
    return RawPage(
        source=source,
        ordinal=ordinal,
        title=title,
        text=text[: limit + 1],
        model=PLAIN,
        page_id=find_number(row, PAGE_IDS),
        revision_id=find_number(row, REVISION_IDS) or _find_version(row),
        namespace=find_number(row, ("namespace",)) or 0,
        whole=False,
    )


def _find_version(row: dict[str, Any]) -> int | None:
    version = row.get("version")
    return find_number(version, ("identifier",)) if isinstance(version, dict) else None


def broken_page(source: str, ordinal: int, error: str, fault: str = BROKEN_TEXT) -> RawPage:
    """Make the page of an unreadable row."""
    return RawPage(source, ordinal, title="", text="", model=PLAIN, error=error, fault=fault, whole=False)


def find_title_and_text(row: dict[str, Any]) -> tuple[str, str | None]:
    """Return title (empty if there is none) and text (None if there is none) of a row."""
    title, text, name = "", None, ""
    for name in TITLES:
        if title := _read_string(row.get(name)) or "":
            break
    for name in TEXTS:
        found = _read_text(row.get(name), name, title)
        text = text if found is None else found
        if found and not found.isspace():
            break
    return _split_contents(text) if name == "contents" and text and not title else (title, text)


def _split_contents(contents: str) -> tuple[str, str]:
    first, _, rest = contents.partition("\n")
    return (first.strip('" \t\r'), rest) if rest.strip() else ("", contents)


def find_number(row: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first of these fields that is a 64-bit integer, or a string of one."""
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, str) and DIGITS.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63:
            return value
    return None


def _read_string(value: Any) -> str | None:
    """Read text, also from a Parquet column that is not marked as text."""
    if isinstance(value, str):
        return value
    return decode_text(value) if isinstance(value, bytes) else None


def _read_text(value: Any, name: str, title: str) -> str | None:
    if isinstance(value, dict):  # the paragraphs of KILT, as the Hub's copy has them
        value = value.get("paragraph")
    if name == SECTIONS and isinstance(value, str):  # a text column that contains JSON
        value = parse_row(value)
    if not isinstance(value, list):
        return _read_string(value)
    lines = [line for line in _list_lines(value) if line.strip()]
    return "\n".join(lines[1:] if lines and lines[0].strip() == title else lines) if lines else None


def _list_lines(parts: list[Any]) -> Iterator[str]:
    """Return the paragraphs and list items of a page in parts, without headings."""
    waiting = parts[::-1]
    while waiting:
        part, mark = waiting.pop(), ""
        if isinstance(part, dict):
            kind, inner = part.get("type"), part.get("has_parts")
            if kind in NO_PARAGRAPH:
                continue
            waiting += inner[::-1] if isinstance(inner, list) else []
            part, mark = part.get("value"), LIST_MARK if kind == "list_item" else ""
        text = _read_string(part)
        if text is not None and not text.startswith(KILT_SECTION):
            yield mark + text.removeprefix(KILT_ITEM)
