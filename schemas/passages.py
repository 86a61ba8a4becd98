"""Passages: what is searched, and what tasks are cut from."""

from __future__ import annotations

from typing import ClassVar

from schemas.documents import Link
from schemas.record import Record


class Passage(Record):
    """A run of whole sentences of one section of a page."""

    dataset: ClassVar[str] = "passages"
    id_field: ClassVar[str] = "passage_id"

    passage_id: str
    """Hash of the document id and the two offsets."""
    document_id: str
    """The page it is cut from."""
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
    """Length by the counter that cut it: words, and characters of scripts without spaces."""
    links: tuple[Link, ...]
    """Wikilinks wholly inside, offsets counted from the passage's own start."""


class Chunk(Record):
    """A passage on its way through the search for near-duplicates."""

    dataset: ClassVar[str] = "chunks"
    id_field: ClassVar[str] = "passage_id"

    passage_id: str
    """The passage's id."""
    passage: Passage
    """The passage."""
    signature: str
    """MinHash signature: the lowest byte of each minimum, in hexadecimal."""
    bands: tuple[int, ...]
    """A hash of each band of minima; passages that share one are compared."""
