"""Conversion of English number words to digits, token by token: "twenty-one" is 21, "two hundred and five thousand"
205000.

Guarantees: only words combine to a number ("nineteen eighty" stays two); a scale after digits multiplies them ("1.5
million" is 1500000); ordinals keep their ending ("twenty-first" is 21st); the work is linear in the tokens.
"""

from __future__ import annotations

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth"
)
_TENTHS = "twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth"
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}

CARDINALS = {word: value for value, word in enumerate(_SMALL.split())} | {
    w: 10 * n for n, w in enumerate(_TENS.split(), start=2)
}
ORDINALS = {word: value for value, word in enumerate(_ORDINALS.split(), start=1)}
ORDINALS |= {word: 10 * n for n, word in enumerate(_TENTHS.split(), start=2)}
SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_PLACES = {**SCALES, "hundred": 2}
_MINUS = ("minus", "negative")
_ONE_NAME = {
    "dollar": "dollars",
    "usd": "dollars",
    "euro": "euros",
    "eur": "euros",
    "gbp": "pounds",
    "degree": "degrees",
}
"""Spelling variants of counted units."""
_WORDS = CARDINALS.keys() | ORDINALS.keys() | _PLACES.keys() | {*_MINUS} | _ONE_NAME.keys()
_MOST_DIGITS = 40
"""Maximum digits; a longer product of a scale stays as written."""


def join_numbers(tokens: list[str]) -> list[str]:
    """Return the tokens with number words as digits."""
    if _WORDS.isdisjoint(tokens):
        return tokens
    joined: list[str] = []
    done = 0
    for at in [at for at, token in enumerate(tokens) if token in _WORDS]:
        if at >= done:
            joined += tokens[done:at]
            text, done = _read(joined, tokens, at)
            joined.append(text)
    return joined + tokens[done:]


def _read(joined: list[str], tokens: list[str], at: int) -> tuple[str, int]:
    """Return the value of a number word, and the index after it; consumed earlier tokens are removed from `joined`."""
    token = tokens[at]
    if token in ORDINALS:
        return _write_ordinal(ORDINALS[token]), at + 1
    if token in CARDINALS:
        return _read_words(tokens, at)
    if token in _PLACES and joined and joined[-1][-1].isdigit():
        return _scale(joined.pop(), tokens, at)
    if token in _MINUS and at + 1 < len(tokens) and not (joined and joined[-1][-1].isdigit()):
        if tokens[at + 1] in CARDINALS:
            text, end = _read_words(tokens, at + 1)
            return f"-{text}", end
        if tokens[at + 1].replace(".", "", 1).isdigit():
            return f"-{tokens[at + 1]}", at + 2
    return _ONE_NAME.get(token, token), at + 1


def shift_point(number: str, places: int) -> str:
    """Multiply a decimal number by ten to the power of `places`, without rounding."""
    whole, _, fraction = number.partition(".")
    moved = (whole + fraction[:places].ljust(places, "0")).lstrip("0") or "0"
    rest = fraction[places:].rstrip("0")
    return f"{moved}.{rest}" if rest else moved


def _read_words(tokens: list[str], at: int) -> tuple[str, int]:
    """Return the number that starts with a cardinal at an index, and the index after it."""
    total, limit = 0, max(SCALES.values()) + 1
    while True:
        part, at, ordinal = _read_hundreds(tokens, at)
        scale = SCALES.get(tokens[at], 0) if at < len(tokens) and part and not ordinal else 0
        if not 0 < scale < limit:
            total += part
            return (_write_ordinal(total), at) if ordinal else _scale(str(total), tokens, at)
        total, limit, at = total + part * 10**scale, scale, at + 1
        following = _skip_and(tokens, at)
        if following == len(tokens) or tokens[following] not in CARDINALS:
            return _scale(str(total), tokens, at)
        at = following


def _read_hundreds(tokens: list[str], at: int) -> tuple[int, int, bool]:
    """Return a number below a thousand, the index after it, and whether it is an ordinal."""
    value, at, ordinal = _read_tens(tokens, at)
    if ordinal or not 0 < value < 100 or at >= len(tokens) or tokens[at] != "hundred":
        return value, at, ordinal
    value, at = 100 * value, at + 1
    following = _skip_and(tokens, at)
    if following < len(tokens) and (
        tokens[following] in CARDINALS or (following > at and tokens[following] in ORDINALS)
    ):
        more, at, ordinal = _read_tens(tokens, following)
        return value + more, at, ordinal
    return value, at, False


def _read_tens(tokens: list[str], at: int) -> tuple[int, int, bool]:
    if tokens[at] in ORDINALS:
        return ORDINALS[tokens[at]], at + 1, True
    value, at = CARDINALS[tokens[at]], at + 1
    if value < 20 or at >= len(tokens):
        return value, at, False
    ones = CARDINALS.get(tokens[at], ORDINALS.get(tokens[at], 0))
    if 0 < ones < 10:
        return value + ones, at + 1, tokens[at] in ORDINALS
    return value, at, False


def _skip_and(tokens: list[str], at: int) -> int:
    return at + (at < len(tokens) and tokens[at] == "and")


def _scale(number: str, tokens: list[str], at: int) -> tuple[str, int]:
    """Return a number times the scales that follow it, and the index after them; the number alone without a scale."""
    figures = number.lstrip("-<>≤≥≠±∓")
    end, places = at, 0
    while end < len(tokens) and (more := _PLACES.get(tokens[end])):
        end, places = end + 1, places + more
    if not places or len(figures) + places > _MOST_DIGITS or not figures.replace(".", "", 1).isdigit():
        return number, at
    return number.removesuffix(figures) + shift_point(figures, places), end


def _write_ordinal(value: int) -> str:
    teens = 10 <= value % 100 < 20
    return f"{value}{'th' if teens else _ENDINGS.get(value % 10, 'th')}"
