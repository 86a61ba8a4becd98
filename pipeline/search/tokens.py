"""How text becomes index terms, by language.

English: lower-cased words without stopwords, stemmed (Snowball). Other languages with spaces: lower-cased words.
Chinese, Japanese: overlapping pairs of characters, which need no segmenter and so cannot disagree with one; a run of a
single character is a term by itself, and Latin words and numbers inside are words. Chinese may also be cut into words
by jieba.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import lru_cache

import Stemmer

WORD = re.compile(r"\w+")
CJK_RUN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
PAIRED_LANGS = ("zh", "ja")
_STOPWORDS_EN = """
a about above after again against all also am an and any are as at be because been before being below between both
but by can could did do does doing down during each few for from further had has have having he her here hers him
his how i if in into is it its itself just me more most my no nor not now of off on once only or other our out over
own s same she should so some such t than that the their theirs them then there these they this those through to too
under until up very was we were what when where which while who whom why will with would you your
"""
STOPWORDS_EN = frozenset(_STOPWORDS_EN.split())
KNOWN_WORDS = 1 << 18  # words whose stem is remembered; a vocabulary's frequent part

Tokenizer = Callable[[str], list[str]]


def _make_english() -> Tokenizer:
    stem = Stemmer.Stemmer("english").stemWord

    @lru_cache(maxsize=KNOWN_WORDS)
    def term(word: str) -> str:
        return "" if word in STOPWORDS_EN else str(stem(word))

    def tokenize(text: str) -> list[str]:
        return [found for word in WORD.findall(text.lower()) if (found := term(word))]

    return tokenize


def _make_jieba() -> Tokenizer:
    import jieba

    jieba.setLogLevel(logging.WARNING)

    def tokenize(text: str) -> list[str]:
        return [word for piece in jieba.cut_for_search(text.lower()) for word in WORD.findall(piece)]

    return tokenize


def _tokenize_words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _tokenize_pairs(text: str) -> list[str]:
    terms: list[str] = []
    position = 0
    text = text.lower()
    for run in CJK_RUN.finditer(text):
        terms += WORD.findall(text[position : run.start()])
        chars = run.group()
        terms += [chars] if len(chars) == 1 else [chars[i : i + 2] for i in range(len(chars) - 1)]
        position = run.end()
    return terms + WORD.findall(text[position:])


def choose_tokenizer(name: str, lang: str) -> str:
    """The tokenizer that a configured name stands for: `auto` goes by the language."""
    if name != "auto":
        return name
    if lang.split("-")[0] in PAIRED_LANGS:
        return "pairs"
    return "english" if lang.split("-")[0] == "en" else "words"


def make_tokenizer(lang: str, name: str = "auto") -> Tokenizer:
    """The function that cuts text into index terms."""
    makers: dict[str, Callable[[], Tokenizer]] = {
        "english": _make_english,
        "jieba": _make_jieba,
        "pairs": lambda: _tokenize_pairs,
        "words": lambda: _tokenize_words,
    }
    return makers[choose_tokenizer(name, lang)]()
