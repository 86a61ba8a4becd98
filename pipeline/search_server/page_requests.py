"""Requests to open pages and to find strings in them, and their replies.

    POST /open          {"page", "section", "cursor", "max_chars"}: a part of a page
    POST /find          {"page", "text", "section", "cursor"}: places of a string in a page
    POST /access        ASearcher: {"urls"} -> {"result": [{"contents", "url"} or null]}
    POST /get_content   OpenResearcher: {"url"} -> {"content", "url", "title"}

Contract: a page that does not exist, or is hidden, is answered with 200 and its status, except by /get_content, which
answers 404; unknown fields are ignored. An invalid request raises HTTPException.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from pipeline.search.page_reader import (
    MAX_NAME_CHARS,
    MAX_PART_CHARS,
    PART_CHARS,
    PageReader,
    PageRequest,
    PageStatus,
    write_address,
)
from pipeline.search_server.requests import Exclusion, parse_object, validate

MAX_URLS = 64
"""Per request to /access."""


class PageBody(BaseModel):
    """Fields that all requests of pages share."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    exclude: Exclusion | None = None
    """What of the corpus is hidden."""


class OpenBody(PageBody):
    """The body of POST /open."""

    page: str = Field(max_length=MAX_NAME_CHARS)
    """Title, page id, passage id, `page://ID`, or the URL of a wiki's page."""
    section: str = Field(default="", max_length=MAX_NAME_CHARS)
    """Heading: only this section and those below it."""
    cursor: int | None = Field(default=None, ge=0)
    """First passage to show: `next_cursor` of the part before; null: the beginning, or the passage that is named."""
    max_chars: int = Field(default=PART_CHARS, ge=1, le=MAX_PART_CHARS)
    """Maximum characters of the part; a longer first passage is whole."""


class FindBody(PageBody):
    """The body of POST /find."""

    page: str = Field(max_length=MAX_NAME_CHARS)
    """As of POST /open."""
    text: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    """String to find; case does not matter."""
    section: str = Field(default="", max_length=MAX_NAME_CHARS)
    """Heading: only this section and those below it."""
    cursor: int | None = Field(default=None, ge=0)
    """First passage to look at."""


class AccessBody(PageBody):
    """The body of POST /access."""

    urls: list[str] = Field(max_length=MAX_URLS)
    """Addresses, as documents have them in `url`."""


class ContentBody(PageBody):
    """The body of POST /get_content."""

    url: str = Field(max_length=MAX_NAME_CHARS)
    """Address, as documents have it in `url`, or their `docid`."""


def answer_page_request(reader: PageReader, path: str, body: bytes, withheld: Exclusion | None) -> dict[str, Any]:
    """The reply to a request at one of `PAGE_PATHS`. `withheld`: the source of the task that the client named.

    Raises HTTPException.
    """
    kind, answer = PAGE_PATHS[path]
    request = validate(kind, parse_object(body))
    if withheld is not None:
        if request.exclude is not None:
            raise HTTPException(422, "`exclude` says what is hidden, and so does the task; send one of them")
        request.exclude = withheld
    return answer(reader, request)


def _open(reader: PageReader, body: OpenBody) -> dict[str, Any]:
    part = reader.open(_ask(body, page=body.page, section=body.section, cursor=body.cursor, max_chars=body.max_chars))
    return asdict(part) | {"url": None if part.page_id is None else write_address(part.page_id)}


def _find(reader: PageReader, body: FindBody) -> dict[str, Any]:
    return asdict(reader.find(_ask(body, page=body.page, section=body.section, cursor=body.cursor, find=body.text)))


def _access(reader: PageReader, body: AccessBody) -> dict[str, Any]:
    parts = [reader.open(_ask(body, page=url, cursor=0, max_chars=MAX_PART_CHARS)) for url in body.urls]
    return {
        "result": [
            {"contents": f"{part.title}\n{part.text}", "url": url} if part.status is PageStatus.OK else None
            for url, part in zip(body.urls, parts, strict=True)
        ]
    }


def _get_content(reader: PageReader, body: ContentBody) -> dict[str, Any]:
    part = reader.open(_ask(body, page=body.url, cursor=0, max_chars=MAX_PART_CHARS))
    if part.status is not PageStatus.OK:
        raise HTTPException(404, f"no such page ({part.status})")
    return {"url": body.url, "title": part.title, "content": part.text}


def _ask(body: PageBody, **fields: Any) -> PageRequest:
    hidden = body.exclude
    if hidden is None:
        return PageRequest(**fields)
    return PageRequest(**fields, hide=hidden.hide, passage_id=hidden.passage_id, page_id=hidden.page_id)


PAGE_PATHS: dict[str, tuple[type[PageBody], Callable[[PageReader, Any], dict[str, Any]]]] = {
    "/open": (OpenBody, _open),
    "/find": (FindBody, _find),
    "/access": (AccessBody, _access),
    "/get_content": (ContentBody, _get_content),
}
