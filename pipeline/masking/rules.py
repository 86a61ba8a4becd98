"""Date and number rules: exact and cheap.

`find_rule_spans` supports English and Chinese; in other languages it finds what is written in figures alone. Every span
is a whole fact: a value and its power of ten ("5.98 × 10^24 kg"), a range and its unit, a measure with its smaller unit
and its conversion ("6 ft 2 in (188 cm)") are one span each. A span that still continues on either side is omitted.
"""

from __future__ import annotations

import re
from dataclasses import replace

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.half_facts import PLAIN_SPACES, is_half_fact
from pipeline.masking.measures import grow_span
from pipeline.masking.rules_en import DATES_EN, NUMBERS_EN, NUMBERS_PLAIN
from pipeline.masking.rules_zh import DATES_ZH, NUMBERS_ZH
from schemas.tasks import SpanKind, SpanSource

PLAIN_YEAR = re.compile(r"(?<![\w.,/-])(?P<year>1\d{3}|20\d\d)(?![\w]|[.,]\d|[/-]\d)")

PATTERNS = {
    "en": ((SpanKind.DATE, DATES_EN), (SpanKind.NUMBER, NUMBERS_EN)),
    "zh": ((SpanKind.DATE, DATES_ZH), (SpanKind.NUMBER, NUMBERS_ZH)),
}
OTHER = ((SpanKind.DATE, PLAIN_YEAR), (SpanKind.NUMBER, NUMBERS_PLAIN))

LABELS = {"sum": "money", "percent_words": "percent"}
"""Groups of a pattern that stand for one label, since group names are unique within a pattern."""


def find_rule_spans(text: str, lang: str) -> list[SpanCandidate]:
    """Return dates and numbers of the text, whole, disjoint, in document order; the label is the rule's name.

    Of an overlapping date and number the longer is kept, and the date if they are equal.
    """
    return split_rule_spans(text, lang)[0]


def split_rule_spans(text: str, lang: str) -> tuple[list[SpanCandidate], list[SpanCandidate]]:
    """Return the dates and numbers of `find_rule_spans`, and those omitted because their fact continues beside them."""
    text = text.translate(PLAIN_SPACES)
    lang = lang.split("-")[0]
    whole: list[SpanCandidate] = []
    halves: list[SpanCandidate] = []
    for candidate in _grow(_find(text, lang), text, lang):
        half = is_half_fact(text, candidate.start, candidate.end, lang)
        (halves if half else whole).append(candidate)
    return whole, halves


def _find(text: str, lang: str) -> list[SpanCandidate]:
    found: list[SpanCandidate] = []
    for kind, pattern in PATTERNS.get(lang, OTHER):
        for match in pattern.finditer(text):
            name = match.lastgroup or kind.value
            found.append(SpanCandidate(match.start(), match.end(), kind, LABELS.get(name, name), SpanSource.RULE))
    found.sort(key=lambda c: (c.start, -c.end, c.kind))
    kept: list[SpanCandidate] = []
    for candidate in found:
        if not kept or candidate.start >= kept[-1].end:
            kept.append(candidate)
        elif candidate.end - candidate.start > kept[-1].end - kept[-1].start:
            kept[-1] = candidate
    return kept


def _grow(found: list[SpanCandidate], text: str, lang: str) -> list[SpanCandidate]:
    """Extend each span to the whole fact; a span covered by an extended one is part of it."""
    grown: list[SpanCandidate] = []
    for candidate in found:
        if grown and candidate.start < grown[-1].end:
            continue
        start, end, label = grow_span(text, candidate.start, candidate.end, candidate.label, lang)
        if grown and start < grown[-1].end:
            start = candidate.start
        same = (start, end) == (candidate.start, candidate.end)
        grown.append(candidate if same else replace(candidate, start=start, end=end, label=label))
    return grown
