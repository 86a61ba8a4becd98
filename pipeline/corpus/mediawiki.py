"""Pages from a MediaWiki XML dump: export schemas 0.3 to 0.11, any compression, UTF-8 or UTF-16.

mwxml reads the pages. Promises: of a page's revisions the last one counts; memory stays flat, because a page is let go
of as soon as the next is asked for; a dump without <siteinfo> is read like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

import mwxml
from mwxml.element_iterator import ElementIterator
from mwxml.errors import MalformedXML

from pipeline.corpus.byte_streams import FETCH_AGAIN, TextStream
from pipeline.corpus.raw_pages import WIKITEXT, RawPage
from pipeline.errors import SourceError


def read_mediawiki(path: Path) -> Iterator[RawPage]:
    """The pages of a dump, in order.

    Raises SourceError at the point of damage, after the pages before it.
    """
    count = 0
    try:
        root = ElementIterator.from_file(TextStream(path))
        if root.tag != "mediawiki":
            raise SourceError(f"{path.name} is XML, but no MediaWiki dump", "check corpus.sources and corpus.format")
        namespaces: dict[str, mwxml.Namespace] = {}
        for element in root:
            if element.tag == "siteinfo":
                found = mwxml.SiteInfo.from_element(element).namespaces or ()
                namespaces = {namespace.name: namespace for namespace in found}
            elif element.tag == "page":
                yield _read_page(element, namespaces, path.name, count)
                count += 1
                # ElementTree keeps even finished pages as children of the root: a leak of 100 bytes a page.
                root.element.clear()
    except ParseError as error:
        if "no element found" in str(error) or "unclosed token" in str(error):
            raise SourceError(f"{path.name} is truncated after {count} pages", FETCH_AGAIN) from None
        raise SourceError(f"{path.name} is broken XML after {count} pages: {error}", FETCH_AGAIN) from None
    except SourceError as error:
        raise SourceError(f"{error.what} (after {count} pages)", error.fix) from None
    if not count:
        raise SourceError(f"{path.name} holds no pages", "check corpus.sources")


def _read_page(element: ElementIterator, namespaces: dict[str, mwxml.Namespace], source: str, ordinal: int) -> RawPage:
    try:
        page = mwxml.Page.from_element(element, namespaces)
        revision = None
        for revision in page:  # noqa: B007  (the last one is wanted)
            pass
        main = revision.slots["main"] if revision is not None else None
        return RawPage(
            source=source,
            ordinal=ordinal,
            title=page.title,
            text=(main.text if main else None) or "",
            model=(main.model if main else None) or WIKITEXT,
            page_id=page.id,
            revision_id=revision.id if revision is not None else None,
            namespace=page.namespace,
            redirect=page.redirect,
        )
    except (MalformedXML, ValueError, TypeError, AttributeError, KeyError) as error:
        return RawPage(source, ordinal, title="", text="", error=f"{type(error).__name__}: {error}")
