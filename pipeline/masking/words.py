"""Words of a passage reduced to their roots, so that a name matches in any inflection and with or
without its accents.

A passage is tokenised into words once; a span's words are then a slice. Roots come from the Snowball stemmer of the
language and from removing the endings that make an adjective of a place name ("Canada", "Canadian"; "Italy",
"Italian"). Scripts without spaces are compared character by character.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import lru_cache

import Stemmer

from pipeline.text.folding import fold

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\d+(?:[.,]\d+)+|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
PLACE_ENDING = re.compile(r"(?<=....)(?:ian|ani|ia|an|es|a|i|e)$")
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian", "sv": "swedish",
    "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip


def is_wide(word: str) -> bool:
    """Return whether a word is one character of a script without spaces."""
    return len(word) == 1 and word > "\u3040"


class Roots:
    """Stemmer from words to roots, in one language."""

    def __init__(self, lang: str) -> None:
        algorithm = STEMMERS.get(lang.split("-")[0])
        stem: Callable[[str], str] = Stemmer.Stemmer(algorithm).stemWord if algorithm else str

        @lru_cache(maxsize=200_000)
        def find(word: str) -> str:
            return "\x1f" + PLACE_ENDING.sub("", stem(fold(word))) + "\x1e"

        self.find = find
        """Function from a word to its encoded root."""

    def encode(self, text: str) -> str:
        """Return the roots of the words of a text, each between two control characters, so that `in` matches whole
        words.
        """
        return "".join(map(self.find, WORD.findall(text)))


class PassageWords:
    """Passage tokenised into words, once."""

    def __init__(self, text: str, roots: Roots) -> None:
        matches = list(WORD.finditer(text))
        self._starts = [match.start() for match in matches]
        self._ends = [match.end() for match in matches]
        self.words = [match.group() for match in matches]
        self._roots = [roots.find(word) for word in self.words]
        self._encoded = "".join(self._roots)

    def find_range(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of words that share a character with `text[start:end]`."""
        return bisect_right(self._ends, start), bisect_left(self._starts, end)

    def encode_range(self, low: int, high: int) -> str:
        """Return the roots of the words from `low` to before `high`."""
        return "".join(self._roots[low:high])

    def count(self, encoded: str) -> int:
        """Count how often a run of words occurs in the passage, in any inflection."""
        return self._encoded.count(encoded)
