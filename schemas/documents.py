"""Pages of Wikipedia, cleaned, and the redirects that point to them."""

from __future__ import annotations

from typing import ClassVar

from schemas.record import Frozen, Record

HOLE = "\ufffc"
"""Stands where something visible (a template, a formula) could not be rendered: its sentence is never masked."""

LIST_MARK = "- "
"""Opens every line that was a list item on the page."""


class Section(Frozen):
    """Where a section begins."""

    start: int
    """Offset of the section's first character in the page's text."""
    path: tuple[str, ...]
    """The headings above the text, outermost first; empty for the lead."""


class Link(Frozen):
    """A wikilink that survived cleaning: its text is a mention of the page it points to."""

    start: int
    """Offset of the link's first character in the text that carries it."""
    end: int
    """Offset just past the link's last character."""
    target: str
    """Title of the page pointed to: first letter upper case, underscores as spaces, no fragment."""


class Document(Record):
    """A page, cleaned to plain text: paragraphs and list items are lines, sections are divided by an empty line."""

    dataset: ClassVar[str] = "documents"
    id_field: ClassVar[str] = "document_id"

    document_id: str
    """Hash of language, page id, title and text; of a page that repeats an earlier one whole, of that and its place."""
    page_id: int
    """The page's number in its wiki (a hash of the title where the source has none)."""
    revision_id: int | None
    """The revision the text was taken from, where the source tells."""
    lang: str
    """Language code of the wiki."""
    title: str
    """The page's title."""
    source: str
    """File name (no folder) that the page was read from."""
    text: str
    """The page's text; `HOLE` where something could not be rendered."""
    sections: tuple[Section, ...]
    """Sections in order of their start; the first starts at 0."""
    links: tuple[Link, ...]
    """Wikilinks inside the text, in order of their start, never overlapping."""


class Redirect(Record):
    """Another title of a page: the page's aliases are the redirects that point to it.

    Redirects are a dataset of their own, joined when spans are made, because a redirect may stand in any file of a
    dump, before or after its target.
    """

    dataset: ClassVar[str] = "redirects"
    id_field: ClassVar[str] = "redirect_id"

    redirect_id: str
    """Hash of language, title and target."""
    lang: str
    """Language code of the wiki."""
    title: str
    """The title that redirects."""
    target: str
    """Title of the page it redirects to, normalised as in `Link.target`."""
