"""Text as metrics compare it: bags of tokens that do not depend on how a thing is typed.

`fold_text` promises, by script and in this order:
- Unicode NFKC and case folding, so full-width forms, ligatures and capitals vanish; invisible format marks go;
- traditional Chinese characters become simplified ones, character by character;
- numbers take one form: no thousands separators ("1,000" is "1000"), English number words up to ninety-nine as digits
  ("twenty-one" is "21"), Chinese numerals as digits ("一九四九年" is "1949年", "二十" is "20"), "%" as "percent"; a
  decimal point and a leading minus stay;
- punctuation of every script becomes a space; possessive 's goes; initials are joined ("J. R. R." is "JRR", "U.S." is
  "US"); "+" and "#" stay when they end a word ("C++" is not "C");
- characters of scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) are tokens of their own;
- "the" goes everywhere, "a" and "an" at the beginning only ("vitamin A" is not "vitamin").

Folding twice changes nothing. Text of nothing but punctuation folds to itself without spaces, so two different marks
stay different and only blank text folds to nothing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Any

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_NUMBER_WORDS = {word: str(value) for value, word in enumerate([*_UNITS.split(), "seventeen", "eighteen", "nineteen"])}
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * (n + 2) for n, word in enumerate(_TENS_NAMES.split())}
_ONES = frozenset(_UNITS.split()[1:10])

# Each of these starts with a character to look for, which the regex engine does fast, and looks around from there.
_RAISED = re.compile(r"[⁰¹²³⁴-⁹½¼¾⅐-⅞](?<=\d.)")  # 10² is not 102
_GROUPING_SPACE = re.compile(r"[\u00a0\u2009\u202f'’](?<=\d.)(?=\d{3}(?!\d))")
_GROUPING_COMMA = re.compile(r",(?<=\d,)(?<!\d{4},)(?=\d{3}(?!\d))")
_POSSESSIVE = re.compile(r"'(?<=\w')s(?!\w)")
_INITIAL_DOT = re.compile(r"\.(?<=\b[^\W\d_]\.) ?(?=[^\W\d_]\b)")
_LOOSE_MARK = re.compile(
    r"[.+#-](?:(?<=\.)(?!(?<=\d\.)\d)"  # a dot is kept inside a number,
    r"|(?<=-)(?!(?<!\S-)\d)"  # a minus before one,
    r"|(?<=[+#])(?!(?<=[^\W\d_].)[+#]?(?!\S)|(?<=[^\W\d_][+#].)(?!\S)))"  # one or two of + and # at the end of a word
)

_CHINESE_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_NUMERAL = "".join([*_CHINESE_DIGITS, *_CHINESE_UNITS])
_CHINESE_NUMBER = re.compile(rf"[{_NUMERAL}]{{2,}}|[{_NUMERAL}](?=[年月日号世])")

# First and last code points of the scripts that put no spaces between words.
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
_UNSPACED_START = re.compile("[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED) + "]")


def fold_text(text: str) -> str:
    """The text's tokens, joined by single spaces; empty only for blank text."""
    folded = _fold_characters(text)
    if "'" in folded:
        folded = _POSSESSIVE.sub("", folded).replace("'", "")
    folded = _GROUPING_COMMA.sub("", folded)
    folded = _INITIAL_DOT.sub("", folded)
    if "%" in folded:
        folded = folded.replace("%", " percent ")
    folded = _LOOSE_MARK.sub(" ", folded.translate(_BLANKED))
    tokens = [_NUMBER_WORDS.get(token, token) for token in _join_tens(folded.split())]
    return " ".join(_drop_articles(tokens)) or "".join(_fold_characters(text).split())


def holds_tokens(folded_text: str, folded_part: str) -> bool:
    """Whether the part stands in the text, from token bound to token bound; both folded, the part not empty."""
    return bool(folded_part) and f" {folded_part} " in f" {folded_text} "


def is_unspaced(char: str) -> bool:
    """Whether the character belongs to a script written without spaces, and so is a token of its own."""
    code = ord(char)
    return any(first <= code <= last for first, last in _UNSPACED)


def _fold_characters(text: str) -> str:
    if text.isascii():
        return _GROUPING_SPACE.sub("", text.lower()) if "'" in text else text.lower()
    text = _GROUPING_SPACE.sub("", _RAISED.sub(r" \g<0>", text))
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not _UNSPACED_START.search(text):  # nearly all of such a text is ASCII: visit only what is not
        return _NON_ASCII.sub(lambda match: _SPACED[ord(match[0])], text)
    simplified = text.translate(_SIMPLIFIED)
    return _CHINESE_NUMBER.sub(_write_chinese_number, simplified).translate(_SPACED)


def _drop_articles(tokens: list[str]) -> list[str]:
    kept = [word for word in tokens if word != "the"]
    first = 0
    while first < len(kept) - 1 and kept[first] in ("a", "an"):
        first += 1
    return kept[first:] or tokens[:1]


def _join_tens(tokens: list[str]) -> list[str]:
    if _TENS.keys().isdisjoint(tokens):
        return tokens
    joined: list[str] = []
    previous = ""
    for token in tokens:
        if previous in _TENS and token in _ONES:
            joined[-1] = str(_TENS[previous] + int(_NUMBER_WORDS[token]))
        else:
            joined.append(str(_TENS.get(token, token)))
        previous = token
    return joined


def _write_chinese_number(match: re.Match[str]) -> str:
    run = match[0]
    if not any(char in _CHINESE_UNITS for char in run):
        return f" {''.join(str(_CHINESE_DIGITS[char]) for char in run)} "
    total = section = digit = 0
    for char in run:
        if char in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[char]
        elif (unit := _CHINESE_UNITS[char]) < 10_000:
            section += (digit or 1) * unit
            digit = 0
        else:
            total = (total + section + digit or 1) * unit
            section = digit = 0
    return f" {total + section + digit} "


class _CharacterTable(dict[int, str]):
    """A table for `str.translate` that works each character out once, when it is first met."""

    def __init__(self, fold: Any) -> None:
        super().__init__()
        self._fold = fold

    def __missing__(self, code: int) -> str:
        value: str = self._fold(chr(code))
        self[code] = value
        return value


@cache
def _chinese_converter() -> Any:
    # Loaded when the first Chinese character is met: reading the tables takes a noticeable part of a second.
    from opencc import OpenCC

    return OpenCC("t2s")


def _simplify(char: str) -> str:
    return str(_chinese_converter().convert(char)) if ord(char) >= 0x3400 and is_unspaced(char) else char


def _space(char: str) -> str:
    if char in "’‘＇":
        return "'"
    if char == "−":
        return "-"
    if is_unspaced(char):
        return f" {char} " if unicodedata.category(char)[0] in "LMN" else " "
    category = unicodedata.category(char)
    if category == "Cf":
        return ""
    return " " if category[0] in "PSZC" and not char.isascii() else char


_BLANKED = str.maketrans(dict.fromkeys('!"$%&()*,/:;<=>?@[\\]^_`{|}~', " "))
_SIMPLIFIED = _CharacterTable(_simplify)
_SPACED = _CharacterTable(_space)
