"""Documents: cleaned Wikipedia pages, and the redirects that point to them."""

from __future__ import annotations

from typing import ClassVar

from schemas.record import Frozen, Record

HOLE = "\ufffc"
"""Placeholder for visible content (a template, a formula) that could not be rendered; its sentence is never masked."""

LIST_MARK = "- "
"""Prefix of every line that was a list item on the page."""


class Section(Frozen):
    """Start of a section."""

    start: int
    """Offset of the section's first character in the page's text."""
    path: tuple[str, ...]
    """The headings above the text, outermost first; empty for the lead."""


class Link(Frozen):
    """Wikilink that survived cleaning: its text is a mention of the target page."""

    start: int
    """Offset of the link's first character in the text that carries it."""
    end: int
    """Offset just past the link's last character."""
    target: str
    """Title of the page pointed to: first letter upper case, underscores as spaces, no fragment."""


class Document(Record):
    """Page as plain text: paragraphs and list items are lines, and sections are separated by an empty line."""

    dataset: ClassVar[str] = "documents"
    id_field: ClassVar[str] = "document_id"

    document_id: str
    """Hash of language, page id, title and text; for an exact duplicate of an earlier page, of that and its
    position."""
    page_id: int
    """Number of the page in its wiki (a hash of the title where the source has none)."""
    revision_id: int | None
    """Revision that the text was taken from; None where the source does not give it."""
    lang: str
    """Language code of the wiki."""
    title: str
    """The page's title."""
    source: str
    """Name of the file, without folder, that the page was read from."""
    text: str
    """Text of the page, with `HOLE` where something could not be rendered."""
    sections: tuple[Section, ...]
    """Sections in order of their start; the first starts at 0."""
    links: tuple[Link, ...]
    """Wikilinks inside the text, in order of their start, never overlapping."""


class Redirect(Record):
    """Alternative title of a page; the aliases of a page are the redirects that point to it.

    Redirects are a separate dataset, joined when spans are made, because a redirect may appear in any file of a dump,
    before or after its target.
    """

    dataset: ClassVar[str] = "redirects"
    id_field: ClassVar[str] = "redirect_id"

    redirect_id: str
    """Hash of language, title and target."""
    lang: str
    """Language code of the wiki."""
    title: str
    """Title that redirects."""
    target: str
    """Title of the target page, normalised as in `Link.target`."""
