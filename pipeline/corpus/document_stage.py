"""Document stage, the first one: raw pages become documents, redirects, or rejects with a reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.corpus.page_kinds import find_redirect, reject_page
from pipeline.corpus.readers.raw_page import WIKITEXT, RawPage
from pipeline.corpus.wikitext.cleaning import clean_wikitext
from pipeline.corpus.wikitext.links import normalise_title, split_namespace
from pipeline.corpus.wikitext.marks import SPACE, SPACE_RUN, scrub
from pipeline.corpus.wikitext.sections import CleanPage
from pipeline.stage import Outcome
from pipeline.text.chinese_conversion import simplify
from schemas.config import CorpusConfig, StageName
from schemas.documents import Document, Redirect, Section
from schemas.funnel import FunnelStep, Reject
from schemas.record import Record, content_id

UNIT = "page"
STUB_CHARS = 200
"""Length below which a page of a wiki is a stub, from which no task can be made."""


class DocumentStage:
    """Cleaner of pages; each page is independent of the others."""

    whole_shard = False

    def __init__(self, config: CorpusConfig) -> None:
        self._config = config

    def run(self, inputs: Iterable[RawPage]) -> Iterator[Outcome]:
        """Return one outcome per page: its document or its reject, and the redirects that it defines."""
        return (make_outcome(page, self._config) for page in inputs)


def make_outcome(page: RawPage, config: CorpusConfig) -> Outcome:
    """Return the outcome of one page; never raises, whatever the page does to the parser."""
    reason, detail = reject_page(page, config)
    document = None
    if not reason:
        document, reason, detail = _make_document(page, config)
    rows: list[Record] = []
    if document is not None:
        rows.append(document)
    if reason in ("", "redirect", "too_short"):
        rows += _find_redirects(page, config)
    if document is None:
        rows.append(Reject(stage=StageName.CORPUS, unit=UNIT, input_id=page.key, reason=reason, detail=scrub(detail)))
    rejected = {} if document is not None else {reason: 1}
    step = FunnelStep.count(StageName.CORPUS, UNIT, 1 - len(rejected), rejected)
    return Outcome(key=page.key, rows=tuple(rows), funnel=(step,))


def _make_document(page: RawPage, config: CorpusConfig) -> tuple[Document | None, str, str]:
    """Return the document, or the reason for having none."""
    title = _fold(" ".join(scrub(page.title).replace("_", " ").split()), config)
    try:
        clean = (
            clean_wikitext(page.text, page.title, config.lang) if page.model == WIKITEXT else _clean_plain(page.text)
        )
    except Exception as error:  # whatever one page does to the parser, the others continue
        return None, "parse_failed", f"{title}: {type(error).__name__}: {error}"
    if len(clean.text) < _least_chars(page, config) or not title:
        return None, "too_short", f"{title}: {len(clean.text)} characters"
    text = _fold(clean.text, config)
    page_id = page.page_id if page.page_id is not None else int(content_id(config.lang, title)[:15], 16)
    links = clean.links
    if _folds(config):
        links = tuple(link.model_copy(update={"target": simplify(link.target)}) for link in links)
    document = Document(
        document_id=content_id(config.lang, page_id, title, text),
        page_id=page_id,
        revision_id=page.revision_id,
        lang=config.lang,
        title=title,
        source=page.source,
        text=text,
        sections=clean.sections,
        links=links,
    )
    return document, "", ""


def _least_chars(page: RawPage, config: CorpusConfig) -> int:
    if config.min_chars is not None:
        return config.min_chars
    return STUB_CHARS if page.whole else 1


def _clean_plain(text: str) -> CleanPage:
    """Clean text from a source that has cleaned it already: one section, lines kept, blank lines dropped."""
    lines = (SPACE_RUN.sub(" ", SPACE.sub(" ", line)).strip() for line in scrub(text).splitlines())
    kept = "\n".join(line for line in lines if line)
    return CleanPage(kept, (Section(start=0, path=()),) if kept else (), ())


def _find_redirects(page: RawPage, config: CorpusConfig) -> Iterator[Redirect]:
    target = find_redirect(page)
    pairs = [(page.title, target)] if target else [(alias, page.title) for alias in page.aliases]
    for alias, title in pairs:
        alias, title = normalise_title(scrub(alias)), normalise_title(scrub(title))
        alias, title = _fold(alias, config), _fold(title, config)
        if alias and title and alias != title and not split_namespace(title)[0]:
            yield Redirect(
                redirect_id=content_id(config.lang, alias, title), lang=config.lang, title=alias, target=title
            )


def _folds(config: CorpusConfig) -> bool:
    return config.simplify_chinese and config.lang.startswith("zh")


def _fold(text: str, config: CorpusConfig) -> str:
    return simplify(text) if _folds(config) else text
