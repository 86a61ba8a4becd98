"""Raw page: a page as its source gives it, yielded by readers and sent to the processes that clean."""

from __future__ import annotations

from dataclasses import dataclass

WIKITEXT = "wikitext"
"""Value of `RawPage.model` for markup that is not yet cleaned."""

PLAIN = "plain"
"""Value of `RawPage.model` for text that its source has already cleaned."""

BROKEN_TEXT, TOO_LARGE, UNKNOWN_FORMAT = "broken_text", "page_too_large", "unknown_format"
"""Values of `RawPage.fault`: reason codes of rejects."""

BROKEN = "\ufdd0"
"""Replacement for bytes that are not text; Unicode reserves this character as a noncharacter."""


@dataclass(frozen=True, slots=True)
class RawPage:
    """Page before cleaning: cheap to make, to skip and to pickle."""

    source: str
    """File name (no folder), or the name of the data set."""
    ordinal: int
    """Position of the page in its source, counted from 0."""
    title: str
    """Title of the page as written in the source."""
    text: str
    """Markup or plain text, according to `model`. For a page that is too large (`corpus.max_page_chars`) only the
    start, one character longer than allowed."""
    model: str = WIKITEXT
    """`WIKITEXT`, `PLAIN`, or another content model of MediaWiki (a page of code or data)."""
    page_id: int | None = None
    """Number of the page in its wiki, if the source gives it."""
    revision_id: int | None = None
    """Revision of the text, if the source gives it."""
    namespace: int = 0
    """0 for articles."""
    redirect: str | None = None
    """Title that the page redirects to, if the source gives it outside the text."""
    aliases: tuple[str, ...] = ()
    """Titles that redirect to this page, if the source lists them."""
    error: str = ""
    """Error in reading this page; such a page has no text."""

    fault: str = BROKEN_TEXT
    """Reason for rejecting a page with an `error`."""
    whole: bool = True
    """Whether it is a page of a wiki; False for what may be one passage of a page: a row, or a file of the user's
    own."""

    @property
    def key(self) -> str:
        """Return the identity of the page inside a run: its source and its position there."""
        return f"{self.source}:{self.ordinal}"
