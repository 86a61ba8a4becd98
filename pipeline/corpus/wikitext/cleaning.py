"""Cleaner of wikitext, the entry point for the rest of the pipeline.

Removed markup leaves no trace; content that cannot be rendered leaves a `HOLE`, never a false sentence. Time is linear
in the markup of any page, however broken.
"""

from __future__ import annotations

import html
import re

from pipeline.corpus.wikitext.brackets import protect_single
from pipeline.corpus.wikitext.marks import GAP, LINK_END, SPACE, SPACE_RUN, close_gaps, restore, scrub, settle_spoken
from pipeline.corpus.wikitext.rendering import Renderer
from pipeline.corpus.wikitext.sections import CleanPage, assemble
from pipeline.corpus.wikitext.tags import strip_comments, strip_opaque, strip_styling
from schemas.documents import HOLE

SWITCH = re.compile(r"__[A-Z]{3,30}__")
LABELLED_URL = re.compile(
    r"\[(?:(?:[a-z][a-z\d+.-]{1,15}+:)?//|mailto:)[^\s\[\]<>]++[^\S\n]*+([^\[\]\n]*+)\]", re.IGNORECASE
)
URL = re.compile(r"(?:http|ftp)s?://[^\s\[\]<>|}\"\u2018-\u201d\u3000-\u9fff\uac00-\ud7a3\uff01-\uff5e]+")
"""URL, to the next space, bracket or character of East Asian text."""
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
LINK_EDGE = re.compile(f"([\U000f0000-\U0010fffd]) | {LINK_END}")
"""Space at the inner edge of a link, which belongs outside."""
PARAMETER = re.compile(r"\{\{\{[^{}|]*(?:\|([^{}]*))?\}\}\}")
"""{{{name|default}}} outside a template, which shows the default."""
UNMATCHED = re.compile(r"\[\[|\]\]|\{\{+|\}\}+")


def clean_wikitext(markup: str, title: str, lang: str = "en") -> CleanPage:
    """Clean a page's markup; `title` is the value of PAGENAME, `lang` selects the rules for link trails, dates and
    variants.
    """
    text = strip_opaque(strip_comments(scrub(markup).replace("\r\n", "\n")))
    if "__" in text:
        text = SWITCH.sub("", text)
    if "{{{" in text:
        text = PARAMETER.sub(lambda found: HOLE if found[1] is None else found[1], text)
    renderer = Renderer(protect_single(text), title, lang)
    flat = _settle(renderer.render(), renderer)
    return assemble(flat, renderer.targets, renderer.unrendered)


def _after_address(address: str) -> str:
    """Return the marks at the end of a URL that belong to the sentence; a bracket opened in it is closed in it."""
    bare = address.rstrip(".,;:!?')")
    after = address[len(bare) :]
    opened = max(0, bare.count("(") - bare.count(")"))
    return after[min(opened, len(after) - len(after.lstrip(")"))) :]


def _settle(text: str, renderer: Renderer) -> str:
    """Remove all markup inside lines, then the gaps of invisible content."""
    text = strip_styling(text)
    if "//" in text or "mailto:" in text:
        text = LABELLED_URL.sub(lambda found: found[1] or GAP, text)
        text = URL.sub(lambda found: GAP + _after_address(found[0]), text)
    text = UNMATCHED.sub(lambda found: HOLE if found[0].startswith("{{") else "", text)
    if "&" in text:
        text = ENTITY.sub(lambda found: scrub(html.unescape(found[0])), text)
    text = SPACE_RUN.sub(" ", SPACE.sub(" ", text))
    if renderer.has_loose_links:
        text = LINK_EDGE.sub(lambda found: f" {found[1]}" if found[1] else f"{LINK_END} ", text)
    text = SPACE_RUN.sub(" ", close_gaps(settle_spoken(text)))
    return restore(text)
