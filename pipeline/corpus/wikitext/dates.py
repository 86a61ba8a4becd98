"""Templates of dates. Values that depend on the day of reading (ages, "now") are never computed: they are holes."""

from __future__ import annotations

from pipeline.corpus.wikitext.template_calls import TemplateCall

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


WITH_SECOND_DATE = frozenset(["death date and age", "dda"])
"""Templates whose second date, of birth, serves only to compute an age."""


def write_date(parts: list[str], lang: str = "en", day_first: bool = False) -> str | None:
    """Write year, month and day (later ones may be missing) in words; None if one is out of range. A month may be a
    name.
    """
    year, month, day = (*parts[:3], "", "", "")[:3]
    number = _month_number(month)
    if not _is_short(year, 6) or (month and not number) or (day and not (_is_short(day, 2) and 1 <= int(day) <= 31)):
        return None
    year, day = str(int(year)), str(int(day)) if day else ""
    if lang.startswith("zh"):
        return f"{year}年" + (f"{number}月" if number else "") + (f"{day}日" if day else "")
    if not number:
        return year
    name = MONTHS[number - 1]
    if not day:
        return f"{name} {year}"
    return f"{day} {name} {year}" if day_first else f"{name} {day}, {year}"


def _is_short(number: str, digits: int) -> bool:
    return number.isdecimal() and len(number) <= digits


def _month_number(month: str) -> int:
    if _is_short(month, 2):
        return int(month) if 1 <= int(month) <= 12 else 0
    named = [at for at, name in enumerate(MONTHS, 1) if len(month) >= 3 and name.lower().startswith(month.lower())]
    return named[0] if named else 0


def _day_first(call: TemplateCall) -> bool:
    return call.first("df").lower() in ("y", "yes", "1", "true") or call.first("mf").lower() in ("n", "no")


def show_date(call: TemplateCall) -> str | None:
    """{{birth date|1980|5|4}} and similar: the first date given; text that is a date already is kept."""
    args = call.plain()
    if not args:
        return None
    if not _is_short(args[0], 4):
        return args[0] if len(args) == 1 or call.name == "date" else None
    if len(args) > 3 and call.name not in WITH_SECOND_DATE:
        return None  # an hour, or locations and further dates
    return write_date(args, lang=call.lang, day_first=_day_first(call))


def show_year(call: TemplateCall) -> str | None:
    """{{birth year and age|1950}}: the year, without the age."""
    year = call.arg(1)
    return year if year.isdecimal() else None


def show_as_of(call: TemplateCall) -> str | None:
    """{{as of|2013|6}}: the words the template writes, with its date."""
    if alt := call.first("alt"):
        return alt
    args = call.plain()
    date = write_date(args, lang=call.lang, day_first=call.first("df").lower() != "us") if args else None
    if date is None:
        return None
    if call.first("bare"):
        return date + call.first("post")
    if call.lang.startswith("zh"):
        return f"截至{date}" + call.first("post")
    words = "since" if call.first("since") else "as of"
    return f"{words if call.first('lc') else words.capitalize()} {date}" + call.first("post")


def show_circa(call: TemplateCall) -> str:
    """{{circa|1500|1550}}: c. 1500 – c. 1550."""
    sign = "約" if call.lang.startswith("zh") else "c. "
    return " – ".join(sign + arg for arg in call.plain()[:2]) or sign.strip()


def show_span(call: TemplateCall) -> str | None:
    """{{floruit|1200|1220}}, {{reign|1200|1220}}: the abbreviation and the years."""
    years = "–".join(call.plain()[:2])
    mark = "r." if call.name in ("reign", "r.", "ruled") else "fl."
    return f"{mark} {years}" if years else mark


def show_lifetime(call: TemplateCall) -> str | None:
    """{{bd|1950年|1月2日|2000年|3月3日}} of the Chinese Wikipedia: both dates."""
    born, died = "".join(call.args[:2]), "".join(call.args[2:4])
    return f"{born}—{died}" if born or died else None


def show_old_style(call: TemplateCall) -> str | None:
    """{{OldStyleDate|9 February|1881|28 January}}: the date, and the date of the old calendar."""
    if len(call.args) < 3:
        return None
    return f"{call.arg(1)} {call.arg(2)} [O.S. {call.arg(3)}]"
