"""A page as its source gives it: what readers yield and what travels to the processes that clean."""

from __future__ import annotations

from dataclasses import dataclass

WIKITEXT = "wikitext"
"""Value of `RawPage.model` for markup that is still to be cleaned."""

PLAIN = "plain"
"""Value of `RawPage.model` for text that its source has already cleaned."""

BROKEN_TEXT, TOO_LARGE, UNKNOWN_FORMAT = "broken_text", "page_too_large", "unknown_format"
"""Values of `RawPage.fault`: reason codes of rejects."""

BROKEN = "\ufdd0"
"""Stands where the source held bytes that are no text; Unicode keeps this character free of any other use."""


@dataclass(frozen=True, slots=True)
class RawPage:
    """One page, unread: cheap to make, to skip and to pickle."""

    source: str
    """File name (no folder), or the name of the data set."""
    ordinal: int
    """The page's place in its source, counted from 0."""
    title: str
    """The page's title as the source writes it."""
    text: str
    """Markup or plain text, as `model` says. Of a page that is too large (`corpus.max_page_chars`) the start alone, one
    character longer than is allowed."""
    model: str = WIKITEXT
    """`WIKITEXT`, `PLAIN`, or another content model of MediaWiki (a page of code or data)."""
    page_id: int | None = None
    """The page's number in its wiki, where the source tells."""
    revision_id: int | None = None
    """The revision of the text, where the source tells."""
    namespace: int = 0
    """0 for articles."""
    redirect: str | None = None
    """Title that the page redirects to, where the source says so outside the text."""
    aliases: tuple[str, ...] = ()
    """Titles that redirect to this page, where the source lists them."""
    error: str = ""
    """What went wrong with this page alone while it was read; such a page has no text."""

    fault: str = BROKEN_TEXT
    """Why a page with an `error` is rejected."""
    whole: bool = True
    """A page of a wiki; False for what may be one passage of a page: a row, or a file of the user's own."""

    @property
    def key(self) -> str:
        """Names the page inside a run: its source and its place there."""
        return f"{self.source}:{self.ordinal}"
