"""Templates of numbers: measures, powers, fractions, chemistry, money. Digits and units are kept as written.

A conversion shows its source value only: a value computed by a template is not in the page.
"""

from __future__ import annotations

import re

from pipeline.corpus.wikitext.tags import set_apart
from pipeline.corpus.wikitext.template_calls import TemplateCall, normalise_name

# Each part is possessive: otherwise a run of digits that no rule ends would be tried from each of its digits.
NUMBER = re.compile(
    r"[-+−±~]?(?:\d[\d,]*+(?:\.\d++)?+|\.\d++)(?:e[-+]?\d++)?+(?:(?:\+\d++)?[/⁄]{1,2}\d++)?$", re.IGNORECASE
)
VALUE = re.compile(r"[-+−]?[\d.,]+")
LONGEST_NUMBER = 100  # characters; a longer text is not a measure
INTEGER = re.compile(r"([-+−]?)(\d{4,100})(\.\d+)?$")
RANGES = {
    "-": "–", "–": "–", "—": "–", "to": " to ", "to(-)": " to ", "and": " and ", "and(-)": " and ", "or": " or ",
    "by": " by ", "x": " × ", "×": " × ", "xx": " × ", "*": " × ", "by(x)": " by ", "+": " + ", "+/-": " ± ",
    "±": " ± ", "&": " & ", "/": "/", ",": ", ", "to about": " to about ", "to(about)": " to about ", "-to": " to ",
}  # fmt: skip
UNITS = {
    "c": "°C", "f": "°F", "k": "K", "r": "°R", "sqmi": "sq mi", "sqkm": "km²", "sqft": "sq ft", "sqm": "m²",
    "sqin": "sq in", "sqyd": "sq yd", "cuft": "cu ft", "cuyd": "cu yd", "cumi": "cu mi", "cuin": "cu in",
    "cum": "m³", "cc": "cm³", "kph": "km/h", "kn": "knots", "kt": "knots", "nmi": "nautical miles", "acre": "acres",
    "mile": "miles", "foot": "feet", "inch": "inches", "in": "inches",
    "lt": "long tons", "lton": "long tons",
    "ston": "short tons", "usgal": "US gal", "impgal": "imp gal", "impbbl": "imp bbl", "usoz": "US fl oz",
    "lb·ft": "lb⋅ft", "lbft": "lb⋅ft", "ftlbf": "ft⋅lbf", "ly": "light-years", "au": "AU",
    "pd/sqmi": "/sq mi", "pd/km2": "/km²", "/sqmi": "/sq mi", "/km2": "/km²", "ft/s": "ft/s", "cuft/s": "cu ft/s",
    "tonne": "tonnes", "t": "tonnes", "carat": "carats", "hand": "hands",
}  # fmt: skip
EXACT_UNITS = {"LT": "long tons", "ST": "short tons", "Nm": "N⋅m", "N.m": "N⋅m"}
WITH_WORDS = ("mid", "pre")
"""Values of `adj` that put words from the arguments between number and unit."""
WITHOUT_SOURCE = frozenset([
    "unit", "unit or text", "unit2", "number", "preunit", "out", "output", "output only", "output number only",
])  # fmt: skip
"""Values of `disp` that omit the value, its unit, or both."""
SCALES = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
SMALLER = {"ft": ("in", "inch"), "foot": ("in", "inch"), "lb": ("oz",), "st": ("lb",), "mi": ("ft", "yd", "chain"),
           "yd": ("ft",), "LT": ("LT", "cwt")}  # fmt: skip
POWER = re.compile(r"(?<=[A-Za-z])([23])\b")
GAUGES = {"ussg": "4 ft 8½ in", "uksg": "4 ft 8½ in", "sg": "1,435 mm", "standard": "1,435 mm", "mg": "1,000 mm",
          "metre": "1,000 mm", "cape": "3 ft 6 in", "irish": "5 ft 3 in"}  # fmt: skip
SIGNS = {"INR": "₹", "indian rupee": "₹", "US$": "US$", "USD": "US$", "us dollar": "US$", "£": "£", "GBP": "£",
         "pound": "£", "€": "€", "euro": "€", "EUR": "€", "¥": "¥", "JPY": "¥", "CNY": "CN¥", "AUD": "A$", "A$": "A$",
         "AU$": "A$", "CAD": "C$", "C$": "C$", "CA$": "C$", "NZD": "NZ$", "NZ$": "NZ$", "HKD": "HK$", "HK$": "HK$",
         "NTD": "NT$", "NT$": "NT$", "KRW": "₩", "PHP": "₱", "RUB": "₽", "ILS": "₪", "CHF": "CHF ", "SEK": "SEK ",
         "NOK": "NOK ", "R$": "R$", "BRL": "R$"}  # fmt: skip
SIGNS_BY_NAME = {normalise_name(name): sign for name, sign in SIGNS.items()}


def is_number(text: str) -> bool:
    """Return whether a text is a number of ordinary length, such as 12,000.5, −3, 2+1/2 or 1e6."""
    return len(text) <= LONGEST_NUMBER and NUMBER.match(text) is not None


def show_number(text: str) -> str:
    """Write a number with thousands separated by commas, as MediaWiki does; anything else unchanged."""
    found = INTEGER.match(text)
    return f"{found[1]}{int(found[2]):,}{found[3] or ''}" if found and not found[2].startswith("0") else text


def convert(call: TemplateCall) -> str | None:
    """{{convert|300|-|450|mm|...}}: the value or range, and its own unit."""
    args = call.plain()
    if not args or not is_number(args[0]):
        return None
    if call.first("adj") in WITH_WORDS or call.first("disp").lower() in WITHOUT_SOURCE:
        return None
    shown, at = _quantity(args[0]), 1
    while at + 1 < len(args) and args[at] in RANGES and is_number(args[at + 1]):
        shown += RANGES[args[at]] + _quantity(args[at + 1])
        at += 2
    if at >= len(args):
        return None
    unit = args[at]
    if at + 2 < len(args) and RANGES.get(args[at + 1]) and is_number(args[at + 2]):
        # Each value has its own unit: {{convert|2|m|x|3|m|ft}}.
        return f"{shown} {_unit(unit)}{RANGES[args[at + 1]]}{_quantity(args[at + 2])} {_unit(unit)}"
    shown = _attach(shown, unit)
    while at + 2 < len(args) and is_number(args[at + 1]) and args[at + 2] in SMALLER.get(args[at], ()):
        shown = _attach(f"{shown} {_quantity(args[at + 1])}", args[at + 2])
        at += 2
    return shown.replace("  ", " ")


def _attach(shown: str, unit: str) -> str:
    name = _unit(unit)
    if name in ("inches", "feet", "acres", "tonnes", "hands", "carats") and shown in ("1", "−1"):
        name = {"inches": "inch", "feet": "foot"}.get(name, name[:-1])
    return shown + name if name.startswith(("°", "/")) else f"{shown} {name}"


def _quantity(text: str) -> str:
    whole, slash, rest = text.replace("⁄", "/").replace("//", "/").partition("/")
    if slash and "+" in whole:
        whole = " ".join(whole.split("+"))
    return show_number(whole) + slash + rest


def _unit(code: str) -> str:
    scale = next((scale for scale in ("e12", "e3", "e6", "e9") if code.startswith(scale)), "")
    if scale:
        return f"{SCALES[scale]} {_unit_name(code[len(scale) :])}"
    return _unit_name(code)


def _unit_name(code: str) -> str:
    name = EXACT_UNITS.get(code) or UNITS.get(code.lower(), code)
    return POWER.sub(lambda power: "²" if power[1] == "2" else "³", name)


def show_value(call: TemplateCall) -> str | None:
    """{{val|1.23|0.05|e=6|u=km/s}}: value, uncertainty, power of ten, unit."""
    args = call.plain()
    if not args or not all(len(arg) <= LONGEST_NUMBER and VALUE.match(arg) for arg in args[:3]):
        return None
    low = args[2].lstrip("-−") if len(args) > 2 else ""
    error = f" +{args[1].lstrip('+')} −{low}" if low else f" ± {args[1]}" if len(args) > 1 else ""
    power, unit = call.first("e"), call.first("u", "ul")
    value = show_number(args[0]) + error
    if power:
        value = f"({value})×10^{power}" if error else f"{value}×10^{power}"
    below = call.first("up", "upl")
    unit = _unit(unit) + (f"/{_unit(below)}" if below else "")
    spaced = f"{value} {unit}" if unit and not unit.startswith(("%", "°")) else value + unit
    return call.first("p") + spaced + call.first("s")


def show_exponent(call: TemplateCall) -> str | None:
    """{{e|24}}: the power of ten that multiplies the preceding number."""
    return f"×10^{call.arg(1)}" if re.match(r"[-+−]?[\d.,/]+$", call.arg(1)) else None


def show_power_of_ten(call: TemplateCall) -> str | None:
    """{{10^|24}}."""
    return f"10^{call.arg(1)}" if call.arg(1) else None


def show_fraction(call: TemplateCall) -> str | None:
    """{{frac|3|1|2}}: 3 1/2; one without a whole number is returned as tags, because a digit may precede it."""
    args = call.plain()
    if not 1 <= len(args) <= 3:
        return None
    *whole, upper, lower = args if len(args) > 1 else ["1", *args]
    if whole:
        return f"{whole[0]} {upper}/{lower}"
    return f"<sup>{upper}</sup>/<sub>{lower}</sub>" if f"{upper}{lower}".isdecimal() else f"{upper}/{lower}"


def show_formula(call: TemplateCall) -> str | None:
    """{{chem|SO|4|2-}}, {{chem2|H2SO4}}: the formula on one line."""
    shown = ""
    for part in call.plain():
        charge = re.fullmatch(r"\d*[-+−]", part)
        shown += set_apart(shown[-1:], part, "^") if charge else part
    return shown or None


def show_scripts(call: TemplateCall) -> str | None:
    """{{su|p=upper|b=lower}} and {{sup|2}}, {{sub|2}}, returned as tags."""
    if call.name in ("sup", "sub"):
        return None if call.arg(2) else f"<{call.name}>{call.arg(1)}</{call.name}>"
    upper, lower = call.first("p") or call.arg(1), call.first("b") or call.arg(2)
    return (f"^{upper}" if upper else "") + (f"_{lower}" if lower else "")


def show_nuclide(call: TemplateCall) -> str | None:
    """{{nuclide|uranium|235}}: uranium-235."""
    args = call.plain()
    return f"{args[0]}-{args[1]}" if len(args) > 1 and args[1].rstrip("m").isdigit() else None


def show_digits(call: TemplateCall) -> str | None:
    """{{formatnum:12345}}, {{nts|12345}}: the number, with thousands separated."""
    text = call.arg(1).replace(",", "")
    return f"{call.first('prefix')}{show_number(text)}{call.first('suffix')}" if is_number(text) else None


def show_groups(call: TemplateCall) -> str | None:
    """{{gaps|1|234|567|e=5|u=km}}: digits in groups, power of ten, unit."""
    if set(call.named) - {"e", "u"}:
        return None
    power, unit = call.first("e"), call.first("u")
    return "".join(call.plain()) + (f"×10^{power}" if power else "") + (f" {_unit(unit)}" if unit else "")


def show_money(call: TemplateCall) -> str | None:
    """{{US$|5 million}}: sign and amount; the sign alone without one."""
    return SIGNS_BY_NAME[call.name] + show_number(call.arg(1))


def show_gauge(call: TemplateCall) -> str | None:
    """{{RailGauge|1000mm}}, {{track gauge|3ft6in}}: the gauge in the unit of its name."""
    code = call.arg(1).lower().replace(" ", "")
    if code in GAUGES:
        return GAUGES[code]
    if code.isdigit():
        code += "mm"
    parts = re.findall(r"([\d.,/]+)(mm|ft|in|cm|m)", code) if len(code) <= LONGEST_NUMBER else []
    if not parts or "".join(number + unit for number, unit in parts) != code:
        return None
    return " ".join(f"{show_number(number)} {unit}" for number, unit in parts)
