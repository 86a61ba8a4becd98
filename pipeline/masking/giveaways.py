"""Give-aways: what a question shows of a span that it hides.

A question is the page's title, the headings above the passage, and the passage itself. A span is given away by its
whole text or an alias, by a telling word of a name, in any inflection or derived from the same stem ("Aristotelian"),
by its initials, and by the words that it abbreviates ("graphical user interface (GUI)"). A month, a unit or a small
number gives nothing away unless every longer word and number of the date or measure is shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from pipeline.masking.aliases import drop_qualifier
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.span_difficulty import FIGURES
from pipeline.masking.words import WORD, PassageWords, Roots, is_wide
from pipeline.search.tokens import STOPWORDS_EN
from pipeline.text.folding import fold
from schemas.passages import Passage

IN_TITLE = "in_title"
IN_SECTION = "in_section"
REPEATED = "repeated"
PARTLY_SHOWN = "partly_shown"
INITIALS = "initials"

TELLING_LETTERS = 3
"""Letters of the shortest word of a name that can tell it, unless it is in capitals."""
HEAVY_LETTERS = 4
"""Letters of a word of a date or measure that count towards all its words; figures and capitals count from two."""
NUMBER = re.compile(r"\d[\d.,]{2,}")
"""Figures of a number that can tell a date or a measure, at the start of a word ("1990s")."""
STEM_LETTERS = 5
"""Letters that words of one stem share at least."""
NEAR_WORDS = 10
"""Words on either side of an acronym among which it may be spelled out in lower case."""

GENERIC_ENDINGS = ("大学", "大學", "学院", "學院", "公司", "银行", "銀行", "医院", "醫院", "车站", "車站")
"""Halves of Chinese names that tell no name."""


class GiveAways:
    """What one question shows outside a span; every word is read once."""

    def __init__(self, passage: Passage, words: PassageWords, roots: Roots) -> None:
        self._text = passage.text
        self._words = words
        self._roots = roots
        self._title = roots.encode(drop_qualifier(passage.title))
        self._sections = [roots.encode(heading) for heading in passage.section]
        self._around = WORD.findall(" ".join((passage.title, *passage.section)))
        self._shown = Counter(key for word in (*words.words, *self._around) for key in self._list_keys(word))
        self._capitals = {word for word in (*words.words, *self._around) if len(word) > 1 and word.isupper()}
        self._runs = _join_initials((*words.words, "", *self._around))

    def find(self, candidate: SpanCandidate, low: int, high: int, aliases: Sequence[str]) -> str | None:
        """Return how the words from `low` to before `high`, a candidate's, are given away, or None."""
        if self._words.encode_range(low, high) in self._title:
            return IN_TITLE
        if any(self._stands_in(heading, (low, high), aliases) for heading in self._sections):
            return IN_SECTION
        if self._is_repeated(low, high, aliases):
            return REPEATED
        if candidate.kind not in FIGURES and (self._shows_initials(low, high) or self._spells_out(low, high)):
            return INITIALS
        return PARTLY_SHOWN if self._shows_part(candidate, low, high) else None

    def _stands_in(self, heading: str, span: tuple[int, int], aliases: Iterable[str]) -> bool:
        forms = [self._words.encode_range(*span), *map(self._roots.encode, aliases)]
        return any(form and form in heading for form in forms)

    def _is_repeated(self, low: int, high: int, aliases: Sequence[str]) -> bool:
        if self._words.count(self._words.encode_range(low, high)) > 1:
            return True
        return any(self._shows_alias(alias, low, high) for alias in aliases)

    def _shows_alias(self, alias: str, low: int, high: int) -> bool:
        """Return whether an alias is visible outside the span; one that is part of the span is counted there too."""
        encoded = self._roots.encode(alias)
        if not encoded:
            return False
        inside = self._words.encode_range(low, high).count(encoded)
        return self._words.count(encoded) > inside or encoded in self._title

    def _shows_initials(self, low: int, high: int) -> bool:
        words = self._words.words[low:high]
        spelled = {"".join(word[0] for word in words if word[0].isupper()), "".join(word[0] for word in words).upper()}
        return any(
            len(initials) > 1 and (initials in self._capitals or ".".join(initials) + "." in self._text)
            for initials in spelled
        )

    def _spells_out(self, low: int, high: int) -> bool:
        """Return whether the span is an acronym of words that are shown."""
        acronym = "".join(self._words.words[low:high])
        if not (1 < len(acronym) == sum(map(str.isupper, acronym))):
            return False
        if acronym in self._runs:
            return True
        before, after = self._words.words[max(0, low - NEAR_WORDS) : low], self._words.words[high : high + NEAR_WORDS]
        return any(
            acronym in "".join(word[0] for word in near if keep(word)).upper()
            for near in (before, after)
            for keep in (bool, _is_telling)
        )

    def _shows_part(self, candidate: SpanCandidate, low: int, high: int) -> bool:
        """Return whether a telling word of the span is shown outside it."""
        words = self._words.words[low:high]
        if candidate.kind not in FIGURES and any(map(is_wide, words)):
            return self._shows_half(low, high)
        own = Counter(key for word in words for key in self._list_keys(word))
        shown = {word for word in words if any(self._shown[key] > own[key] for key in self._list_keys(word))}
        if candidate.kind not in FIGURES:
            return any(map(_is_telling, shown))
        heavy = {word for word in words if len(word) >= HEAVY_LETTERS or (len(word) > 1 and not word.islower())}
        return any(NUMBER.match(word) for word in shown) or (bool(heavy) and heavy <= shown)

    def _shows_half(self, low: int, high: int) -> bool:
        """Return whether half of a name in a script without spaces, two characters at least, is shown outside it."""
        size = max(2, (high - low + 1) // 2)
        starts = (
            at
            for at in range(low, high - size + 1)
            if "".join(self._words.words[at : at + size]) not in GENERIC_ENDINGS
        )
        return any(
            self._words.count(half) > self._words.encode_range(low, high).count(half) or half in self._title
            for half in (self._words.encode_range(at, at + size) for at in starts)
        )

    def _list_keys(self, word: str) -> tuple[str, ...]:
        """Return what a word is recognised by: its root, and the stem that it shares with derived words."""
        if number := NUMBER.match(word):
            return (number[0],)
        folded = fold(word)
        if len(folded) < STEM_LETTERS or not folded.isalpha():
            return (self._roots.find(word),)
        return self._roots.find(word), folded[:STEM_LETTERS]


def _is_telling(word: str) -> bool:
    return (len(word) >= TELLING_LETTERS or (len(word) > 1 and word.isupper())) and fold(word) not in STOPWORDS_EN


def _join_initials(words: Iterable[str]) -> str:
    """Return the initials of each run of capitalised words, small words inside it aside, joined by spaces."""
    known = (word for word in words if not word or word[0].isupper() or _is_telling(word))
    runs = (list(run) for capital, run in groupby(known, lambda word: word[:1].isupper()) if capital)
    return " ".join("".join(word[0] for word in run) for run in runs)
