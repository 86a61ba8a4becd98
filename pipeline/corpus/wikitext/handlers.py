"""Handlers of templates that need only the arguments of the call; those of numbers, dates and languages are apart."""

from __future__ import annotations

import re

from pipeline.corpus.wikitext.marks import GAP, protect
from pipeline.corpus.wikitext.template_calls import UNSHOWN, Handler, TemplateCall

DEGREES = re.compile(r"[-+−]?\d{1,3}(?:\.\d{1,12})?$")
MARKS = "°′″"
SHIP_PREFIXES = (
    "HMS", "HMAS", "HMCS", "HMNZS", "USS", "USNS", "USAT", "USRC", "SS", "RMS", "MV", "MS", "SMS", "INS", "GTS", "RV",
    "MTS", "USAV", "HMT",
)  # fmt: skip
# Format by the argument after the number; without it, prefix, name and number.
SHIP_FORMATS = {"": "{prefix} {name} ({number})", "2": "{name}", "3": "{name} ({number})", "6": "{prefix} {name}"}


def show_first(call: TemplateCall) -> str | None:
    """For templates that style their first argument."""
    return call.first("text", "content") or call.arg(1)


def show_second(call: TemplateCall) -> str | None:
    """For templates whose first argument is a code, and whose second is the text."""
    return call.first("text", "content") or call.arg(2) or None


def show_last(call: TemplateCall) -> str | None:
    """For templates whose text is their last argument, after one or more codes."""
    return call.args[-1] if len(call.args) > 1 else None


def show_only(call: TemplateCall) -> str | None:
    """For templates whose text is their only or their last argument."""
    return call.args[-1] if call.args else call.first("text", "content")


def show_list(call: TemplateCall) -> str:
    """For templates that show their arguments as a short list; one that contains list items keeps their lines."""
    shown = ", ".join(arg for arg in call.args if arg)
    return f"\n{shown}\n" if shown.startswith("*") else shown


def show_joined(separator: str) -> Handler:
    """Return a handler that shows all arguments, joined."""
    return lambda call: separator.join(call.plain())


def show_reading(call: TemplateCall) -> str | None:
    """{{ruby|base|reading}}: the base, then the reading in brackets."""
    return f"{call.arg(1)}({call.arg(2)})" if call.arg(2) else call.arg(1)


def show_title(call: TemplateCall) -> str:
    """For the title of the page itself."""
    return call.title


def show_quotation(call: TemplateCall) -> str | None:
    """For block quotations: a separate paragraph, without the author."""
    text = call.first("text", "quote", "content", "1") or call.arg(2 if call.name == "rquote" else 1)
    return f"\n\n{text}\n\n" if text else None


def show_as_written(call: TemplateCall) -> str:
    """{{sic|wo|rd}}: the words, without the remark."""
    return "".join(call.args[:2]) or GAP


def show_constant(text: str) -> Handler:
    """Return a handler that always shows the same text, which is never read as markup."""
    # A template's "|" separates the parts of the link or table around it.
    shown = text if text == "|" else protect(text)
    return lambda _call: shown


def show_angle_brackets(call: TemplateCall) -> str:
    """{{angbr|a}}: a letter in angle brackets."""
    return f"⟨{call.arg(1)}⟩"


def show_keys(call: TemplateCall) -> str | None:
    """{{key press|Ctrl|Alt|Del}}: keys pressed together."""
    return None if any(name.startswith("chain") for name in call.named) else "+".join(call.plain())


def show_flag(call: TemplateCall) -> str | None:
    """{{flag|France}}: the country; a code such as FRA stands for a name that is not in the page."""
    name = call.first("name") or call.arg(1)
    return None if name.isupper() else name


def show_music(call: TemplateCall) -> str | None:
    """{{music|flat}}: a musical sign."""
    return {"flat": "♭", "b": "♭", "sharp": "♯", "#": "♯", "natural": "♮"}.get(call.arg(1).lower())


def show_address(call: TemplateCall) -> str:
    """{{URL|example.com|label}}: the label; a URL is not running text."""
    return call.arg(2) or UNSHOWN


def show_changed_case(call: TemplateCall) -> str | None:
    """{{lc:TEXT}} and similar."""
    text = call.arg(1)
    changes = {"lc": text.lower(), "uc": text.upper(), "ucfirst": text[:1].upper() + text[1:]}
    return changes.get(call.name, text[:1].lower() + text[1:])


def show_columns(call: TemplateCall) -> str:
    """{{columns-list|...}}: the list inside, on separate lines; the number of columns came first in older pages."""
    return f"\n{call.arg(2) if call.arg(1).isdecimal() else call.arg(1)}\n"


def show_verse(call: TemplateCall) -> str | None:
    """{{bibleverse|1|Samuel|3:4}}: book and verse; {{bibleverse-nb}} shows the verse alone."""
    parts = call.args[2:3] if call.name == "bibleverse-nb" else call.args[:3]
    return " ".join(arg for arg in parts if arg) or None


def show_short_citation(call: TemplateCall) -> str | None:
    """{{harvtxt|Smith|2000|p=5}}: "Smith (2000, p. 5)", a part of the sentence; {{harvnb}} needs no brackets."""
    *authors, year = [arg for arg in call.args if arg] or [""]
    if not authors:
        return None
    if len(authors) > 3:
        names = f"{authors[0]} et al."
    else:
        names = " & ".join([", ".join(authors[:-1]), authors[-1]] if len(authors) > 1 else authors)
    page, pages = call.first("p"), call.first("pp")
    place = f"p. {page}" if page else f"pp. {pages}" if pages else call.first("loc")
    when = f"{year}, {place}" if place else year
    return f"{names} {when}" if call.name == "harvnb" else f"{names} ({when})"


def show_coordinates(call: TemplateCall) -> str | None:
    """{{coord|57|18|N|4|27|W}}, {{coord|57.3|-4.5}}: both axes as written; nothing if only the title shows them."""
    if call.first("display").replace(" ", "") in ("title", "t"):
        return UNSHOWN
    args = call.plain()
    ends = [at for at, arg in enumerate(args) if arg in ("N", "S", "E", "W")]
    if len(ends) == 2 and args[ends[0]] in "NS" and args[ends[1]] in "EW":
        axes = [_axis(args[: ends[0]], args[ends[0]]), _axis(args[ends[0] + 1 : ends[1]], args[ends[1]])]
    elif not ends and len(args) > 1:
        axes = [_signed(args[0], "NS"), _signed(args[1], "EW")]
    else:
        return None
    return None if "" in axes or call.first("format") else " ".join(axes)


def _axis(numbers: list[str], letter: str) -> str:
    if not 1 <= len(numbers) <= 3 or not all(DEGREES.match(number) for number in numbers):
        return ""
    return "".join(number + mark for number, mark in zip(numbers, MARKS, strict=False)) + letter


def _signed(number: str, letters: str) -> str:
    if not DEGREES.match(number):
        return ""
    return f"{number.lstrip('-+−')}°{letters[number.startswith(('-', '−'))]}"


def show_ship(call: TemplateCall) -> str | None:
    """{{USS|Enterprise|CV-6}}, {{ship|French brig|Foo|1800|6}}: the name in the requested format, linked."""
    args = call.args if call.name == "ship" else [call.name.upper(), *call.args]
    prefix, name, number, shape = (*args, "", "", "", "")[:4]
    if not name or shape not in SHIP_FORMATS:
        return None
    full = f"{prefix} {name}".strip()
    if not number:
        return call.link(full, name if shape in ("2", "3") else full)
    shown = SHIP_FORMATS[shape].format(prefix=prefix, name=name, number=number).strip()
    return call.link(f"{full} ({number})", shown)
