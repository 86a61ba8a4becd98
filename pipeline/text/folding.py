"""Folding: a single spelling for matching texts and queries, regardless of accents and Unicode form.

Case, accents, compatibility forms (full-width, ligatures, superscripts), letters that Unicode does not decompose (ø, ł,
æ, ß, dotless i) and invisible characters are folded. Marks of other scripts that spell a vowel or voice a consonant
(Devanagari, kana) are letters and stay; Arabic and Hebrew vowel points, which are optional in writing, are removed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

INVISIBLE = "\u00ad\u034f\u061c\u200c-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff"
"""Soft hyphens, joiners, direction marks and variation selectors, as the inside of a character class."""
_POINTS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_MODIFIERS = "\u02b9-\u02cf"
"""Letters that stand for apostrophes, such as the okina of Hawaiʻi."""
_DROPPED = re.compile(f"[{_POINTS}{_MODIFIERS}{INVISIBLE}\u0640]")
_SPELLED = {"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i", "ȷ": "j", "ŋ": "n", "ĸ": "k", "ə": "a", "ſ": "s"}
_VARIANT = re.compile(r"LATIN SMALL LETTER ([A-Z]{1,2}) WITH ")
_LATIN = (
    range(0x80, 0x2B0),
    range(0x1D00, 0x1E00),
    range(0x1E00, 0x1F00),
    range(0x2C60, 0x2C80),
    range(0xA720, 0xA800),
)


def _list_letters() -> dict[int, str]:
    """Return the folding of each Latin letter that Unicode does not decompose, by its name: ø is an o with a stroke."""
    found: dict[int, str] = {ord(letter): plain for letter, plain in _SPELLED.items()}
    for code in (code for block in _LATIN for code in block):
        variant = _VARIANT.match(unicodedata.name(chr(code), ""))
        if variant and not unicodedata.decomposition(chr(code)):
            found.setdefault(code, variant[1].lower())
    return found


_LETTERS = _list_letters()


def fold(text: str) -> str:
    """Return the text without case, accents and differences of form. Folding is idempotent."""
    if text.isascii():
        return text.lower()
    bare = _DROPPED.sub("", unicodedata.normalize("NFKD", text)).casefold()
    if bare.isascii():
        return bare
    return unicodedata.normalize("NFC", _DROPPED.sub("", unicodedata.normalize("NFKD", bare.translate(_LETTERS))))


@lru_cache(maxsize=1)
def list_joined() -> str:
    """Return characters inside words that are not letters, for a character class: combining marks and invisible
    characters."""
    marks = (code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)).startswith("M"))
    runs = (list(run) for _, run in groupby(enumerate(marks), key=lambda pair: pair[1] - pair[0]))
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in runs) + INVISIBLE
