"""Classification of pages: articles, and the reasons for rejecting the others."""

from __future__ import annotations

import re

from pipeline.corpus.readers.raw_page import BROKEN, BROKEN_TEXT, PLAIN, TOO_LARGE, WIKITEXT, RawPage
from pipeline.corpus.wikitext.links import normalise_title
from schemas.config import CorpusConfig

REDIRECT = re.compile(
    r"\s*+#[^\S\n]*+(?:redirect|重定向|пренасочване|виж)\s*+(?::\s*+)?\[\[([^\[\]\n|]++)", re.IGNORECASE
)
DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:template:)?(?:"
    r"disambig(?:uation)?(?:[ _-](?:page|cleanup))?|dis(?:amb)?|dab|hndis(?:-cleanup)?|hnd(?:ab)?|geo-?dis|surnames?|"
    r"given[ _]names?|nickname|(?:human|place)[ _]name[ _]disambiguation|"
    r"(?:airport|call[ _]?sign|church|hospital|school|species|genus|letter-number combination|mathematical|mathematics|"
    r"music|military unit|molecular formula|mountain|phonetics|plant|road|taxonomic?(?: authority)?|township|"
    r"biology|chinese title|station|tropical cyclone)[ _](?:disambiguation|disambig|index)|"
    r"(?:letter-?numbercomb|mil-unit|mil-base-|school|number|road|hospital|math|bio|county|tn|latin name|portal|roman)"
    r"dis(?:ambig)?|shipindex|ship[ _]index|mountainindex|lakeindex|sportindex|roadindex|storm[ _]index|sia|"
    r"set[ _]index(?:[ _]article)?|"
    r"消歧[义義](?:[页頁])?|(?:人名|地名|姓氏|校名|車站|车站)消歧[义義](?:[页頁])?|disambigs?-cleanup|пояснение"
    r")\s*[|}]",
    re.IGNORECASE,
)
DISAMBIGUATION_TITLE = re.compile(r"[(（](?:disambiguation|消歧[义義]|пояснение)[)）]$")
DISAMBIGUATION_START = re.compile(
    r"[^\n]{0,200}\b(?:may|can|might) (?:also )?(?:refer|stand) (?:to|for)\b[^\n.]{0,40}:?[^\S\n]*+(?:\n|$)"
)
LIST_TITLE = re.compile(r"^(?:Lists? of |Index of .*articles$)|列表(?: ?[(（].*[)）])?$")


def find_redirect(page: RawPage) -> str:
    """Return the title that the page redirects to, normalised; empty if it is not a redirect."""
    if page.redirect:
        return normalise_title(page.redirect)
    found = REDIRECT.match(page.text) if page.model == WIKITEXT else None
    return normalise_title(found[1]) if found else ""


def reject_page(page: RawPage, config: CorpusConfig) -> tuple[str, str]:
    """Return why a page is not an article to clean, as reason and detail; two empty strings if it is one."""
    if page.error:
        return page.fault, page.error
    if BROKEN in page.text or BROKEN in page.title:
        return BROKEN_TEXT, f"{page.title}: bytes or characters that are not text"
    if page.namespace != 0 or page.model not in (WIKITEXT, PLAIN):
        return "not_article", f"{page.title}: namespace {page.namespace}, {page.model}"
    if target := find_redirect(page):
        return "redirect", f"{page.title} -> {target}"
    if len(page.text) > config.max_page_chars:
        return TOO_LARGE, f"{page.title}: more than {config.max_page_chars} characters"
    if LIST_TITLE.search(page.title):
        return "list_page", page.title
    if _is_disambiguation(page):
        return "disambiguation", page.title
    return "", ""


def _is_disambiguation(page: RawPage) -> bool:
    if DISAMBIGUATION_TITLE.search(page.title):
        return True
    if page.model == PLAIN:
        return DISAMBIGUATION_START.match(page.text) is not None
    return DISAMBIGUATION.search(page.text) is not None
