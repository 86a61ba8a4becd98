"""Normalisation of the marks around numbers: signs, points, separators, comparisons, currencies, percent, degrees,
fractions.

Each mark that changes a number has one spelling: ".5" is 0.5 and not 5, "1.0" is 1, "≥ 42" is ≥42, "$5" and "5 $" are 5
dollars, "5°C" is 5 degrees celsius, "1/2" and "½" are one token. Marks that need two numbers are separators: "5–7" is 5
and 7. Patterns are linear in the text, which is in lower case and in form NFKC.
"""

from __future__ import annotations

import re
import unicodedata

_CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¢": "cents", "¥": "yen", "₹": "rupees"}
_COMPARED = {
    **{"<=": "≤", ">=": "≥", "≦": "≤", "≧": "≥", "⩽": "≤", "⩾": "≥"},
    **{"!=": "≠", "=/=": "≠", "+/-": "±", "+-": "±"},
}
_SYMBOLS = "".join(chr(code) for code in range(0x80, 0x20F0) if unicodedata.category(chr(code)) == "Sc")
_MONEY_SIGN = f"[${_SYMBOLS}]"
LEFT_OVER = f"≈≅≃≦≧⩽⩾°‰{_SYMBOLS}"
"""Symbols beyond ASCII that are written out where they belong to a number, and have no meaning elsewhere."""
_UNITS = "km|mm|cm|kg|mg|lb|lbs|ft|mi|mph|ha|kw|mw|gw|hz|khz|mhz|ghz|kb|mb|gb|am|pm|bc|ad|bce|ce"
_AHEAD = rf"(?=-?{_MONEY_SIGN}?-?\.?\d)"

_LEADING_POINT = re.compile(r"\.(?=\d)(?<![\w.].)")
_POINTS = re.compile(r"(?<!\d)(?<!\d\.)\d++(?:\.\d++)+")
_DECIMAL = re.compile(r"\.(?<=\d.)\d")
_COMPARISON = re.compile(rf"(?:<=|>=|!=|=/=|\+/-|\+-|[<>≤≥≦≧⩽⩾≠±∓])\s*{_AHEAD}")
_NEARLY = re.compile(rf"[~≈≅≃](?<!\d.)(?<!\d\s.)\s*{_AHEAD}")
_MONEY = re.compile(
    rf"(?:\bus ?)?(-?)({_MONEY_SIGN}) ?(-?)"
    r"(\d++(?:[.,]\d++)*+(?: ?(?:hundred|thousand|million|billion|trillion|[mk]|bn)\b)?)"
)
_AUSTRALIAN = re.compile(r"\ba(?=\$)")
"""Expanded, so that it is not taken for an article."""
_MONEY_AFTER = re.compile(rf"{_MONEY_SIGN}(?:(?<=\d.)|(?<=\d\s.))(?!\s?\d)")
_FRACTION = re.compile(r"(?<![\d/.,])(\d{1,2})/(\d{1,2})(?![\d/]|[.,]\d)")
_LETTER_BEHIND = re.compile(f"[0-9](?=[{''.join(sorted({unit[0] for unit in _UNITS.split('|')}))}])")
_UNIT = re.compile(rf"\d(?=(?:{_UNITS})(?![a-z\d]))")
_DEGREES = re.compile(r"(?<=\d) ?°( ?[cf](?!\w))?")
_NO_SIGN = re.compile(rf"-(?:(?<=[\w.%)\]°]-)|(?<=\d['\"]-))(?={_MONEY_SIGN}?\.?\d)")
_MARKED = re.compile(f"[~≈≅≃<>=+≤≥≦≧⩽⩾≠±∓$°‰{_SYMBOLS}]")
_GROUPS = re.compile(r"(?<!\S)\d{1,3}(?: \d{3})+(?!\S)")


def part_ranges(text: str) -> str:
    """Insert a space for each dash that separates two items; words of scripts without spaces are not yet separated."""
    return _NO_SIGN.sub(" ", text) if "-" in text else text


def write_number_marks(text: str) -> str:
    """Normalise the marks around numbers, and separate ranges."""
    if "." in text:
        text = _LEADING_POINT.sub("0.", text)
        if _DECIMAL.search(text):
            text = _POINTS.sub(_trim_zeros, text)
    if "/" in text:
        text = _FRACTION.sub(r"\1⁄\2", text)
    if _MARKED.search(text):
        text = _write_symbols(text)
    return _UNIT.sub(r"\g<0> ", text) if _LETTER_BEHIND.search(text) else text


def join_groups(text: str) -> str:
    """Join "1 000 500" to one number; a group that starts with 0 is not a number by itself.

    Tokens are separated by single spaces.
    """
    return _GROUPS.sub(_join_group, text) if " 0" in text else text


def _join_group(found: re.Match[str]) -> str:
    first, *others = found[0].split()
    return first + "".join(others) if any(other[0] == "0" for other in others) else found[0]


def _trim_zeros(found: re.Match[str]) -> str:
    whole, *others = found[0].split(".")
    if len(others) > 1:  # a version, a date, an address
        return found[0]
    fraction = others[0].rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _write_symbols(text: str) -> str:
    text = _COMPARISON.sub(lambda found: " " + _COMPARED.get(mark := found[0].rstrip(), mark), text)
    text = _NEARLY.sub(" about ", text)
    text = _AUSTRALIAN.sub("au", text) if "a$" in text else text
    text = _MONEY.sub(lambda found: f" {found[1] or found[3]}{found[4]} {_name_currency(found[2])} ", text)
    text = _MONEY_AFTER.sub(lambda found: f" {_name_currency(found[0])} ", text)
    text = text.replace("‰", " permille ")
    return _DEGREES.sub(lambda found: f" degrees {_SCALES.get((found[1] or '').strip(), '')} ", text)


_SCALES = {"c": "celsius", "f": "fahrenheit"}


def _name_currency(sign: str) -> str:
    return _CURRENCIES.get(sign) or unicodedata.name(sign).lower().replace(" sign", "").replace(" ", "")
