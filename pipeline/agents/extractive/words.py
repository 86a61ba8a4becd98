"""Tokenised text of the extractive agents: words with offsets, their index terms, and sentences.

In scripts without spaces a word is a single character, and its term the pair of characters that it starts.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from pipeline.search.tokens import CJK, PAIRED_LANGS, make_tokenizer
from pipeline.text.folding import list_joined

SPACED_WORD = re.compile(rf"[\w{list_joined()}]+")
PAIRED_WORD = re.compile(rf"[{CJK}]|[^\W{CJK}]+")
SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bDr\.)(?<!\bMr\.)(?<!\bSt\.)(?<!\bvs\.)[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9\ufffc])|(?<=[。！？；])|\n+"
)


@dataclass(frozen=True, slots=True)
class Words:
    """Text tokenised into words."""

    text: str
    lower: tuple[str, ...]
    """Each word in lower case."""
    terms: tuple[str, ...]
    """Each word's index term; empty for a stopword."""
    starts: tuple[int, ...]
    """Offset of each word's first character."""
    ends: tuple[int, ...]
    """Offset just past each word's last character."""
    sentences: tuple[int, ...]
    """Start offsets of the sentences; the first is 0."""

    def span_words(self, start: int, end: int) -> tuple[int, int]:
        """Return the words inside a stretch of the text: first, and one past the last."""
        return bisect_left(self.starts, start), bisect_right(self.ends, end)

    def lower_of(self, start: int, end: int) -> tuple[str, ...]:
        """Return the words of a stretch in lower case; one empty word when it contains none."""
        first, last = self.span_words(start, end)
        return self.lower[first:last] or ("",)

    def sentence_at(self, offset: int) -> tuple[int, int]:
        """Return the bounds of the sentence that contains a character."""
        index = bisect_right(self.sentences, offset) - 1
        after = self.sentences[index + 1] if index + 1 < len(self.sentences) else len(self.text)
        return self.sentences[index], after


def make_word_cutter(lang: str) -> Callable[[str], Words]:
    """Return the function that tokenises text of a language."""
    paired = lang.split("-")[0] in PAIRED_LANGS
    tokenize = make_tokenizer(lang)
    pattern = PAIRED_WORD if paired else SPACED_WORD

    def cut(text: str) -> Words:
        found = list(pattern.finditer(text))
        lower = tuple(match.group().lower() for match in found)
        terms = _pair_terms(lower) if paired else tuple(next(iter(tokenize(word)), "") for word in lower)
        starts = tuple(match.start() for match in found)
        ends = tuple(match.end() for match in found)
        sentences = (0, *sorted({m.end() for m in SENTENCE_END.finditer(text) if 0 < m.end() < len(text)}))
        return Words(text, lower, terms, starts, ends, sentences)

    return cut


def class_before(text: str, offset: int) -> str:
    """Classify the text before an offset: a mark as itself, a word as A, a or 0 by its first letter, ^ for nothing."""
    before = text[max(0, offset - 40) : offset]
    kept = before.rstrip()
    if not kept:
        return "^"
    if not kept[-1].isalnum():
        return kept[-1]
    word = re.split(r"\W", kept)[-1]
    return _class_of(word[0]) if len(kept) < len(before) else "w"


def class_after(text: str, offset: int) -> str:
    """Classify the text after an offset: as `class_before`, with $ for nothing and w for a word that continues."""
    after = text[offset : offset + 40]
    kept = after.lstrip()
    if not kept:
        return "$"
    if not kept[0].isalnum():
        return kept[0]
    return _class_of(kept[0]) if len(kept) < len(after) else "w"


def _class_of(char: str) -> str:
    return "0" if char.isdigit() else "A" if char.isupper() else "a"


def _pair_terms(chars: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        a + b if len(a) == len(b) == 1 and _is_cjk(a) and _is_cjk(b) else ("" if _is_cjk(a) else a)
        for a, b in pairwise((*chars, ""))
    )


def _is_cjk(char: str) -> bool:
    return len(char) == 1 and re.match(f"[{CJK}]", char) is not None
