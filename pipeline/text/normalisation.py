"""Normalisation of text for metrics: bags of tokens that do not depend on spelling variants.

`fold_text` promises, by script and in this order:
- Unicode NFKC and case folding, so full-width forms, ligatures and capitals vanish; invisible format marks go;
- traditional Chinese becomes simplified as a whole text, as the corpus does (`pipeline.text.chinese_conversion`);
- numbers take one form (`number_marks`, `number_words`, `chinese_numbers`): no thousands separators ("1,000" is
  "1000"), number words as digits ("twenty-one" is "21", "一九四九年" is "1949年"), no zeros after a decimal ("1.0" is
  "1"); what changes a number stays: signs, decimal points, comparisons, currencies, percent, the s of a decade;
- punctuation of every script becomes a space; possessive 's goes; initials are joined ("J. R. R." is "JRR", "U.S." is
  "US"); "+" and "#" stay when they end a word ("C++" is not "C", "18+" is not "18");
- characters of scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) are tokens of their own;
- "the" goes everywhere, "a" and "an" at the beginning only ("vitamin A" is not "vitamin").

Accents stay: `accents.respell` is the second look at them. Folding twice changes nothing. Text of nothing but
punctuation folds to itself without spaces, so two different marks stay different and only blank text folds to nothing.
The time is linear in the text, whatever it holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from pipeline.text.chinese_conversion import simplify
from pipeline.text.chinese_numbers import write_chinese_numbers, write_single_figure
from pipeline.text.number_marks import LEFT_OVER, join_groups, part_ranges, write_number_marks
from pipeline.text.number_words import join_numbers

# Each of these starts with a literal, which the regex engine finds fast, and looks around from there.
_RAISED = re.compile(r"[⁰¹²³⁴-⁹⁺⁻½¼¾⅐-⅞](?<=\d.)")  # 10² is not 102
_GROUPING_SPACE = re.compile(r"[\u00a0\u2009\u202f'’](?<=\d.)(?=\d{3}(?!\d))")
_GROUPING_COMMA = re.compile(r",(?<=\d,)(?<!\d{4},)(?=\d{3}(?!\d))")
_POSSESSIVE = re.compile(r"'(?<=[^\W\d_]')s(?!\w)")  # but 1990's is 1990s
_FEET = re.compile(r"'(?<=\d')(?!s(?!\w))")
_INITIAL_DOT = re.compile(r"\.(?<=\b[^\W\d_]\.) ?(?=[^\W\d_\u0e00-\U0003ffff]\b)")
_LOOSE_MARK = re.compile(
    r"[.+#<>-](?:(?<=\.)(?!(?<=\d\.)\d)"  # a dot is kept inside a number,
    r"|(?<=-)(?!(?<![^\s<>≤≥≠]-)\d)"  # a minus before one,
    r"|(?<=[<>])(?!-?\d)"  # a comparison as well,
    # one or two of + and # at the end of a word
    r"|(?<=[+#])(?!(?<=[^\W\d_].)[+#]?(?![^\s.])|(?<=[^\W\d_][+#].)(?![^\s.])|(?<=\d\+)(?![^\s.])))"
)
_LOOSE_SYMBOL = re.compile(rf"[≤≥≠±∓](?!-?\d)|⁄(?!(?<=\d.)\d)|[{LEFT_OVER}]")
_DIGIT = re.compile(r"\d")
_QUOTES, _DASHES = "’‘", "\u2010-\u2015\u2212"
_DIGITS = "".join(f"{zero}-{chr(ord(zero) + 9)}" for zero in "٠۰߀०০੦૦୦௦౦೦൦෦๐໐༠၀႐០᠐᥆᧐᪀᪐᭐᮰᱀᱐꘠꣐꤀꧐꧰꩐꯰")
_INVISIBLE = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0001\U000e0020-\U000e007f"
)
_TYPED_OTHERWISE = re.compile(f"[{_QUOTES}{_DASHES}{_DIGITS}{_INVISIBLE}]")

# First and last code points of the scripts without spaces between words.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_KEPT = frozenset(f"≤≥≠±∓⁄{LEFT_OVER}")
"""Symbols that may belong to a number; `_LOOSE_SYMBOL` removes those that do not."""
_UNSPACED_START = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED) + "]")


def fold_text(text: str) -> str:
    """Return the text's tokens, joined by single spaces; empty only for blank text."""
    folded = _INITIAL_DOT.sub("", _fold_characters(text))
    if "%" in folded:
        folded = folded.replace("%", " percent ")
    if "per cent" in folded:
        folded = folded.replace("per cent", "percent")
    if folded.isascii():
        folded = _LOOSE_MARK.sub(" ", folded.translate(_BLANKED))
    else:  # `translate` is slow here
        folded = _LOOSE_MARK.sub(" ", _BLANK.sub(" ", folded))
        folded = _LOOSE_SYMBOL.sub(" ", folded) if _SYMBOL.search(folded) else folded
    tokens = join_numbers(_drop_articles(folded.split()))
    if len(tokens) == 1:
        return write_single_figure(tokens[0])
    return join_groups(" ".join(tokens)) or "".join(_compose(text).split())


def holds_tokens(folded_text: str, folded_part: str) -> bool:
    """Return whether the part occurs in the text between token bounds; both folded, the part not empty."""
    return bool(folded_part) and f" {folded_part} " in f" {folded_text} "


def is_unspaced(char: str) -> bool:
    """Return whether the character belongs to a script without spaces, and so is a token of its own."""
    code = ord(char)
    return any(first <= code <= last for first, last in _UNSPACED)


def _fold_characters(text: str) -> str:
    if text.isascii():
        folded = text.lower()
        if not _DIGIT.search(folded):
            return _drop_apostrophes(folded)
        if "'" in folded:
            folded = _GROUPING_SPACE.sub("", folded)
        return write_number_marks(_drop_apostrophes(part_ranges(_GROUPING_COMMA.sub("", folded))))
    text = _compose(_GROUPING_SPACE.sub("", _RAISED.sub(r" \g<0>", text)))
    text = _GROUPING_COMMA.sub("", _TYPED_OTHERWISE.sub(lambda match: _TYPED[ord(match[0])], text))
    unspaced = _UNSPACED_START.search(text)
    if unspaced:
        text = write_chinese_numbers(simplify(text))
    text = _drop_apostrophes(part_ranges(text))
    # Text without such scripts is nearly all ASCII: visit only what is not.
    text = text.translate(_SPACED) if unspaced else _NON_ASCII.sub(lambda match: _SPACED[ord(match[0])], text)
    return write_number_marks(text) if _DIGIT.search(text) else text


def _drop_apostrophes(text: str) -> str:
    """Remove possessives and apostrophes; those between two numbers become spaces."""
    return _POSSESSIVE.sub("", _FEET.sub(" ", text)).replace("'", "") if "'" in text else text


def _compose(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _drop_articles(tokens: list[str]) -> list[str]:
    kept = [word for word in tokens if word != "the"] if "the" in tokens else tokens
    first = 0
    while first < len(kept) - 1 and kept[first] in ("a", "an"):
        first += 1
    return kept[first:] or tokens[:1]


class _CharacterTable(dict[int, str]):
    """Table for `str.translate` that computes each character at its first use."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        super().__init__()
        self._fold = fold

    def __missing__(self, code: int) -> str:
        self[code] = self._fold(chr(code))
        return self[code]


def _type(char: str) -> str:
    """Return the ASCII form of a quote, a dash, a digit of another script, or a format mark."""
    if unicodedata.category(char) == "Nd":
        return str(unicodedata.decimal(char))
    return "'" if char in _QUOTES else "-" if unicodedata.category(char) != "Cf" else ""


def _space(char: str) -> str:
    if is_unspaced(char):
        # Phrases are simplified already: characters that they keep ("乾坤") are converted like elsewhere.
        return f" {simplify(char)} " if unicodedata.category(char)[0] in "LMN" else " "
    return " " if unicodedata.category(char)[0] in "PSZC" and not char.isascii() and char not in _KEPT else char


_PUNCTUATION = '!"$%&()*,/:;=?@[\\]^_`{|}~'
_BLANKED = str.maketrans(dict.fromkeys(_PUNCTUATION, " "))
_BLANK = re.compile(f"[{re.escape(_PUNCTUATION)}]")
_SYMBOL = re.compile(f"[≤≥≠±∓⁄{LEFT_OVER}]")
_TYPED = _CharacterTable(_type)
_SPACED = _CharacterTable(_space)
