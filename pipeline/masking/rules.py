"""Dates and numbers by rule: exact, cheap, and what search must recover.

`find_rule_spans` knows English and Chinese; in other languages it finds what is written in figures alone. A value and
its power of ten ("5.98 × 10^24 kg"), a range and its unit, a measure and its conversion in brackets are one span each:
to hide a part of one would leave the rest to give it away.
"""

from __future__ import annotations

import re

from pipeline.masking.candidates import Candidate
from pipeline.masking.rules_en import DATES_EN, NUMBERS_EN, NUMBERS_PLAIN
from pipeline.masking.rules_zh import DATES_ZH, NUMBERS_ZH
from schemas.tasks import SpanKind, SpanSource

PLAIN_YEAR = re.compile(r"(?<![\w.,/-])(?P<year>1\d{3}|20\d\d)(?![\w]|[.,]\d|[/-]\d)")

PATTERNS = {
    "en": ((SpanKind.DATE, DATES_EN), (SpanKind.NUMBER, NUMBERS_EN)),
    "zh": ((SpanKind.DATE, DATES_ZH), (SpanKind.NUMBER, NUMBERS_ZH)),
}
OTHER = ((SpanKind.DATE, PLAIN_YEAR), (SpanKind.NUMBER, NUMBERS_PLAIN))


def find_rule_spans(text: str, lang: str) -> list[Candidate]:
    """Dates and numbers of the text, disjoint, in document order; the label is the rule's name.

    Where a date and a number overlap the longer stays, and the date if they are equal.
    """
    found: list[Candidate] = []
    for kind, pattern in PATTERNS.get(lang.split("-")[0], OTHER):
        found.extend(
            Candidate(match.start(), match.end(), kind, match.lastgroup or kind.value, SpanSource.RULE)
            for match in pattern.finditer(text)
        )
    found.sort(key=lambda c: (c.start, -c.end, c.kind))
    kept: list[Candidate] = []
    for candidate in found:
        if not kept or candidate.start >= kept[-1].end:
            kept.append(candidate)
        elif candidate.end - candidate.start > kept[-1].end - kept[-1].start:
            kept[-1] = candidate
    return kept
