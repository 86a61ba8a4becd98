"""Tokenizers: text into index terms, by language.

English: folded words (`pipeline.text.folding`) without stopwords, stemmed (Snowball). Other languages with spaces:
folded words. Chinese, Japanese: overlapping pairs of characters, which depend on no segmenter; a run of a single
character is a term by itself, and Latin words and numbers inside are words. Chinese may also be segmented by jieba.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import Stemmer

from pipeline.text.chinese_words import open_jieba
from pipeline.text.folding import fold, list_joined

WORD = re.compile(r"\w+")
CJK = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
CJK_FORMS = re.compile(r"[\u00bc-\u00be\u2e80-\u2fdf\u3099\u309a\u3200-\u33ff\uf900-\ufaff\uff61-\uff9f]")
"""Characters whose normal form (NFKC) differs and contains or joins characters of `CJK`, or is several words."""
PAIRED_LANGS = ("zh", "ja")
_STOPWORDS_EN = """
a about above after again against all also am an and any are as at be because been before being below between both
but by can could did do does doing down during each few for from further had has have having he her here hers him
his how i if in into is it its itself just me more most my no nor not now of off on once only or other our out over
own s same she should so some such t than that the their theirs them then there these they this those through to too
under until up very was we were what when where which while who whom why will with would you your
"""
STOPWORDS_EN = frozenset(_STOPWORDS_EN.split())
KNOWN_WORDS = 1 << 18
"""Words whose term is cached: the frequent part of a vocabulary."""

Tokenizer = Callable[[str], list[str]]


def _make_cutter() -> Tokenizer:
    """A splitter into lower-case words; those beyond ASCII are not folded yet."""
    find, find_joined = WORD.findall, re.compile(rf"[\w{list_joined()}]+").findall
    normalize = unicodedata.normalize

    def cut(text: str) -> list[str]:
        return find(text.lower()) if text.isascii() else find_joined(normalize("NFKC", text).lower())

    return cut


def _make_words() -> Tokenizer:
    cut = _make_cutter()
    fold_word = lru_cache(maxsize=KNOWN_WORDS)(fold)
    return lambda text: [found for word in cut(text) if (found := fold_word(word))]


def _make_english() -> Tokenizer:
    stem = Stemmer.Stemmer("english").stemWord
    cut = _make_cutter()

    @lru_cache(maxsize=KNOWN_WORDS)
    def term(word: str) -> str:
        word = word if word.isascii() else fold(word)
        return "" if word in STOPWORDS_EN else str(stem(word))

    return lambda text: [found for word in cut(text) if (found := term(word))]


def _make_jieba() -> Tokenizer:
    jieba = open_jieba()
    return lambda text: [word for piece in jieba.cut_for_search(fold(text)) for word in WORD.findall(piece)]


def _make_pairs() -> Tokenizer:
    find = re.compile(rf"([{CJK}]+)|((?:[^\W{CJK}]|[{list_joined()}])+)").findall
    finish = lru_cache(maxsize=KNOWN_WORDS)(fold)

    def tokenize(text: str) -> list[str]:
        terms: list[str] = []
        if CJK_FORMS.search(text):
            text = unicodedata.normalize("NFKC", text)
        for chars, word in find(text):
            if word:
                terms.append(finish(word))
            elif len(chars) == 1:
                terms.append(chars)
            else:
                terms += [chars[i : i + 2] for i in range(len(chars) - 1)]
        return terms if all(terms) else list(filter(None, terms))

    return tokenize


MAKERS = {"english": _make_english, "jieba": _make_jieba, "pairs": _make_pairs, "words": _make_words}


def choose_tokenizer(name: str, lang: str) -> str:
    """The name of a tokenizer, with `auto` resolved by the language."""
    if name != "auto":
        return name
    if lang.split("-")[0] in PAIRED_LANGS:
        return "pairs"
    return "english" if lang.split("-")[0] == "en" else "words"


def make_tokenizer(lang: str, name: str = "auto") -> Tokenizer:
    """The function from text to index terms."""
    return MAKERS[choose_tokenizer(name, lang)]()
