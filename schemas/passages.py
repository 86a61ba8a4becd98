"""Passages: the unit of search, and the source of tasks."""

from __future__ import annotations

from typing import ClassVar

from schemas.documents import Link
from schemas.record import Record


class Passage(Record):
    """Consecutive whole sentences of one section of a page."""

    dataset: ClassVar[str] = "passages"
    id_field: ClassVar[str] = "passage_id"
    references: ClassVar[dict[str, str]] = {"passage_id": "chunks"}

    passage_id: str
    """Hash of the document id and the two offsets."""
    document_id: str
    """Page that it is taken from."""
    page_id: int
    """The page's number in its wiki."""
    lang: str
    """Language code of the wiki."""
    title: str
    """The page's title."""
    section: tuple[str, ...]
    """Headings above the text, outermost first; empty for the lead."""
    text: str
    """Exactly `document.text[start:end]`."""
    start: int
    """Offset of the first character in the page's text."""
    end: int
    """Offset just past the last character in the page's text."""
    tokens: int
    """Length by the tokenizer of the chunker: words, and characters of scripts without spaces."""
    links: tuple[Link, ...]
    """Wikilinks wholly inside, offsets counted from the passage's own start."""


class Chunk(Record):
    """Passage in the deduplication stage."""

    dataset: ClassVar[str] = "chunks"
    id_field: ClassVar[str] = "passage_id"
    references: ClassVar[dict[str, str]] = {"passage.document_id": "documents"}

    passage_id: str
    """Id of the passage."""
    passage: Passage
    """The passage."""
    signature: str
    """MinHash signature: the lowest byte of each minimum, in hexadecimal."""
    bands: tuple[int, ...]
    """Hash of each band of minima; passages that share one are compared."""
