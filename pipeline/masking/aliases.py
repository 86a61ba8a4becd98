"""Aliases: alternative forms of an answer.

For a name: the title its link points to, without the qualifier in brackets, and the titles that redirect there, where
the anchor is a name of that page, not of something on it ("Cherry Valley" may lead to a page about a battle). For a
date: day and month in the other order, another name of the era. For a number: without its separators, in figures or in
words, its per cent in words, the two sides of a conversion. The judge folds case, articles and punctuation, so these
give no aliases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.rules_en import DAY, MONTH
from pipeline.text.folding import fold
from pipeline.text.number_words import CARDINALS, join_numbers
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
ARTICLE = re.compile(r"(?:the|an?) (?=.)")
PLURAL = re.compile(r"(?<=[^\Ws])s\Z")
APART = frozenset(
    {"North", "South", "East", "West", "Northern", "Southern", "Eastern", "Western", "New", "Old", "Upper", "Lower"}
)
"""Words before a name that make it another one."""
FIRST_FIGURE = re.compile(r"\d{1,2}(?=\Z|[ -][A-Za-z])")
WORDS_OF = {str(value): word for word, value in CARDINALS.items()}
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
        forms = _name_target(text, candidate.target, redirects)
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


def list_titles(target: str | None, redirects: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the titles of a page, without qualifiers: they show a span that links there, named by one or not."""
    if target is None or COLLECTION.match(target):
        return ()
    return (drop_qualifier(target), *(drop_qualifier(title) for title in redirects.get(target, ())))


def _name_target(text: str, target: str | None, redirects: Mapping[str, Sequence[str]]) -> Iterable[str]:
    titles = list_titles(target, redirects)
    if not titles or not (_fold_name(text) in map(_fold_name, titles) or _is_variant(text, titles[0])):
        return ()
    return (title for title in titles if _is_variant(title, titles[0]) or not _holds_name(title, titles[0]))


def _fold_name(text: str) -> str:
    """Fold a name as a whole: case, accents, an article and the ending of a plural."""
    return PLURAL.sub("", ARTICLE.sub("", fold(text)))


def _is_variant(text: str, title: str) -> bool:
    """Return whether one of two names is the other with a place behind a comma, or with first names or a rank before
    it, or its initials.
    """
    short, long = sorted((text, title), key=len)
    if _fold_name(short) == _fold_name(long):
        return True
    before, after = long.removesuffix(short), long.removeprefix(short)
    if after != long:
        return after.startswith(", ")
    if before != long and short[:1].isupper():
        return before.endswith(" ") and all(word[0].isupper() and word not in APART for word in before.split())
    return short.isupper() and short == "".join(word[0] for word in long.split() if word[0].isupper())


def _holds_name(title: str, name: str) -> bool:
    """Return whether a title is about something of the named thing: it holds the name and more."""
    return title != name and (f" {name} " in f" {title} " or f" {name}'" in f" {title}")


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
    yield from _change_figures(text)
    if match := PERCENT.fullmatch(text):
        yield from (f"{match[1]}%", f"{match[1]} percent")


def _change_figures(text: str) -> Iterable[str]:
    """Write the number at the start in figures instead of words, or a small one in words."""
    if (figure := FIRST_FIGURE.match(text)) and figure[0] in WORDS_OF:
        yield WORDS_OF[figure[0]] + text[figure.end() :]
    elif text[:1].isalpha():
        joined = " ".join(join_numbers(text.lower().replace("-", " ").split()))
        if joined[:1].isdigit():
            yield joined
