"""Keyword queries of the extractive agents: the page's title, content words of the masked text, and answers found.

A query is on one line, inert, short enough for any engine, and no stretch of the masked text: words without meaning are
left out, and an answer found stands where its mask does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.agents.extractive.features import MaskView
from pipeline.agents.extractive.words import Words
from pipeline.search.tokens import PAIRED_LANGS
from pipeline.text.chinese_words import open_jieba
from prompts.library import make_inert
from schemas.documents import HOLE

LONGEST = 600  # characters
WHOLE = 24  # words for the whole passage
SENTENCE = 20  # words for a sentence
NEAR = 8  # words from the context of a mask

Item = tuple[int, str]
"""Offset in the masked text, and text: a keyword, or an answer in place of its mask."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """Word with meaning."""

    offset: int
    """Offset of its first character in the masked text."""
    text: str
    terms: tuple[str, ...]
    """Its index terms."""


def make_keyword_cutter(lang: str) -> Callable[[Words], list[Keyword]]:
    """Return the function that lists the keywords of a text, in order, none twice."""
    return _cut_paired if lang.split("-")[0] in PAIRED_LANGS else _cut_spaced


def _cut_spaced(words: Words) -> list[Keyword]:
    first: dict[str, Keyword] = {}
    for term, start, end in zip(words.terms, words.starts, words.ends, strict=True):
        if term:
            first.setdefault(term, Keyword(start, words.text[start:end], (term,)))
    return list(first.values())


def _cut_paired(words: Words) -> list[Keyword]:
    """List the words of two characters and more."""
    first: dict[str, Keyword] = {}
    for word, start, end in open_jieba().tokenize(words.text):
        from_word, to_word = words.span_words(start, end)
        terms = tuple(term for term in words.terms[from_word : max(from_word + 1, to_word - 1)] if term)
        if end - start > 1 and from_word < to_word and terms:
            first.setdefault(word, Keyword(start, word, terms))
    return list(first.values())


def build_queries(
    view: MaskView,
    keywords: Sequence[Keyword],
    title: str,
    tries: int,
    found: Mapping[int, str],
    lead: str,
    count: int,
) -> tuple[str, ...]:
    """Return `count` different queries for a mask.

    `keywords`: those of the masked text; `tries`: earlier steps for this mask; `found`: answers to other masks, by the
    offset of the mask; `lead`: a guess to check, or empty.
    """
    queries: dict[str, None] = {}
    for query in _propose(view, keywords, title, tries, found, lead):
        flat = make_inert(" ".join(query.replace(HOLE, " ").split()))[:LONGEST].strip()
        if flat:
            queries.setdefault(flat)
        if len(queries) == count:
            break
    return tuple(queries)


def _propose(
    view: MaskView, keywords: Sequence[Keyword], title: str, tries: int, found: Mapping[int, str], lead: str
) -> Iterator[str]:
    begin, end = view.words.sentence_at(view.offset)
    answers = sorted(found.items())
    local = [item for item in answers if begin <= item[0] < end]
    inside = [word for word in keywords if begin <= word.offset < end]

    def rate(word: Keyword) -> float:
        return max(map(view.rarity, word.terms))

    def rate_near(word: Keyword) -> float:
        return max(view.near.get(term, 0.0) for term in word.terms)

    whole = _join(title, _pick(keywords, rate, WHOLE), answers)
    sentence = _join(title, _pick(inside, rate, SENTENCE), local)
    near = _join("", _pick(keywords, rate_near, NEAR), local)
    if tries:
        checked = [(view.offset, lead)] if lead else []
        rare = _join(title, _pick(keywords, rate, WHOLE // 2), answers)
        nearest = _pick(keywords, rate_near, NEAR // 2)
        yield from (rare, _join("", nearest, [*local, *checked]), _join(title, nearest, local))
    yield from (whole, sentence, near)
    yield from (_join("", _items(words), local) for words in (inside, keywords))
    yield from (f"{title} {word.text}" for word in keywords)  # a text of few words needs further queries
    yield from (f"{title} {number}" for number in range(1, 20))


def _pick(keywords: Iterable[Keyword], rate: Callable[[Keyword], float], most: int) -> list[Item]:
    return _items(sorted(keywords, key=lambda word: (-rate(word), word.offset))[:most])


def _items(keywords: Iterable[Keyword]) -> list[Item]:
    return [(word.offset, word.text) for word in keywords]


def _join(title: str, items: Iterable[Item], found: Iterable[Item]) -> str:
    """Return the title and the texts in the order of the masked text, without the title's words again."""
    titled = set(title.casefold().split())
    texts = [text for _, text in sorted((*items, *found)) if text.casefold() not in titled]
    return " ".join((title, *texts))
