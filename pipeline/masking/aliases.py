"""Aliases: alternative forms of an answer.

For a name: the title its link points to, without the qualifier in brackets, and the titles that redirect there. For a
date: day and month in the other order, another name of the era. For a number: without its separators, its per cent in
words, the two sides of a conversion. The judge folds case, articles and punctuation, so these give no aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.rules_en import DAY, MONTH
from schemas.tasks import SpanKind

MAX_ALIASES = 16
"""Maximum aliases from redirects, of which a page may have hundreds; the first ones in the order of the lookup are
kept."""

QUALIFIER = re.compile(r"\s*[(（][^()（）]*[)）]$")
COLLECTION = re.compile(r"(?:Lists?|History|Outline|Timeline|Index) of ")
"""Pages about many things, whose titles are not a name of the page that links there."""
DAY_FIRST = re.compile(rf"({DAY}) (?:of )?({MONTH}),? (\d{{4}})")
MONTH_FIRST = re.compile(rf"({MONTH}) ({DAY}),? (\d{{4}})")
DAY_MONTH = re.compile(rf"({DAY}) (?:of )?({MONTH})")
MONTH_DAY = re.compile(rf"({MONTH}) ({DAY})")
OLD_ERA = re.compile(r"(.+?)\s?(BCE?|CE|AD)")
AD_FIRST = re.compile(r"AD ?(\d+)")
ERA_PAIRS = {"BC": "BCE", "BCE": "BC", "AD": "CE", "CE": "AD"}
PERCENT = re.compile(r"(.*\d)\s?(?:%|per ?cent)")
SEPARATOR = re.compile(r"(?<=\d),(?=\d{3})")
CONVERSION = re.compile(r"(.+?) \((.+)\)")
ZH_DATE = re.compile(r"(\d{4})\s?年\s?(\d{1,2})\s?月\s?(\d{1,2})\s?[日号號]")
ZH_DIGITS = str.maketrans("〇零○一二三四五六七八九０１２３４５６７８９", "0001234567890123456789")
ZH_YEAR = re.compile(r"[〇零○一二三四五六七八九]{4}年")


def find_aliases(candidate: SpanCandidate, text: str, redirects: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the aliases of a candidate with this text: at most `MAX_ALIASES`, without the text itself."""
    if candidate.kind is SpanKind.DATE:
        forms: Iterable[str] = _write_dates(text)
    elif candidate.kind is SpanKind.NUMBER:
        forms = _write_numbers(text)
    else:
        forms = _name_target(candidate.target, redirects)
    seen = {text.casefold()}
    aliases: list[str] = []
    for form in (*candidate.aliases, *forms):
        if form and form.casefold() not in seen:
            seen.add(form.casefold())
            aliases.append(form)
    return tuple(aliases[:MAX_ALIASES])


def drop_qualifier(title: str) -> str:
    """Return a title without its qualifier in brackets: "Mercury (planet)" is "Mercury"."""
    return QUALIFIER.sub("", title) or title


def _name_target(target: str | None, redirects: Mapping[str, Sequence[str]]) -> Iterable[str]:
    if target is None or COLLECTION.match(target):
        return ()
    return (drop_qualifier(target), *(drop_qualifier(title) for title in redirects.get(target, ())))


def _write_dates(text: str) -> Iterable[str]:
    if match := DAY_FIRST.fullmatch(text):
        yield f"{match[2]} {match[1]}, {match[3]}"
    elif match := MONTH_FIRST.fullmatch(text):
        yield f"{match[2]} {match[1]} {match[3]}"
    elif match := DAY_MONTH.fullmatch(text) or MONTH_DAY.fullmatch(text):
        yield f"{match[2]} {match[1]}"
    elif match := AD_FIRST.fullmatch(text):
        yield from (f"{match[1]} AD", f"{match[1]} CE")
    elif match := OLD_ERA.fullmatch(text):
        yield f"{match[1]} {ERA_PAIRS[match[2]]}"
    elif match := ZH_DATE.fullmatch(text):
        yield f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}"
    elif ZH_YEAR.fullmatch(text):
        yield text.translate(ZH_DIGITS)


def _write_numbers(text: str) -> Iterable[str]:
    if match := CONVERSION.fullmatch(text):
        for side in match.groups():
            yield from (side, SEPARATOR.sub("", side))
        return
    yield SEPARATOR.sub("", text)
    if match := PERCENT.fullmatch(text):
        yield from (f"{match[1]}%", f"{match[1]} percent")
