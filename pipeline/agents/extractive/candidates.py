"""Candidates: stretches of a passage that may be an answer, each with a kind given by its form.

Dates and numbers are candidates at every granularity (the day, the month, the year of one date), as are runs of
capitalised words and their parts, and link anchors. `scoring` ranks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.search.tokens import STOPWORDS_EN
from pipeline.text.chinese_words import open_jieba

MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
UNITS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
TENS = "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen"
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
COUNT = rf"(?:{'|'.join((UNITS + ' ' + TENS).split())})"
ERA = r"(?: ?(?:BCE|BC|AD|CE)\b)?"
DIGITS = r"\d+(?:,\d{3})*(?:\.\d+)?"
UPPER = "A-Z\u00c0-\u00de\u0100-\u024f"
CAPITAL = rf"(?:(?:[A-Z]\.)+|(?:St|Dr|Mr|Mrs|Jr|Sr)\.|[{UPPER}]\w*(?:['’](?!s\b)\w+)*(?:-\w+)*)"
JOINT = r"(?:of the|of|de la|de|del|von|van|the|and|for|al|in|on|&|du|la|le)"
MAX_WORDS = 8
MAX_CHARS = 80


class CandidateKind(StrEnum):
    """Kind of a candidate, by its form."""

    YEAR = "year"
    DATE = "date"
    PERIOD = "period"
    NUMBER = "number"
    AMOUNT = "amount"
    COUNT = "count"
    ORDINAL = "ordinal"
    NAME = "name"
    PART = "part"
    TERM = "term"


PATTERNS_EN: tuple[tuple[CandidateKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (CandidateKind.DATE, rf"\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{MONTHS})(?:,? \d{{3,4}}{ERA})?\b"),
        (CandidateKind.DATE, rf"\b(?:{MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?(?:, \d{{3,4}})?\b"),
        (CandidateKind.DATE, rf"\b\d{{1,2}} (?:{MONTHS})\b|\b(?:{MONTHS}) \d{{1,2}}\b(?!,? \d)"),
        (CandidateKind.PERIOD, rf"\b(?:{MONTHS})(?: \d{{4}})?\b"),
        (CandidateKind.PERIOD, rf"\b\d{{1,2}}(?:st|nd|rd|th)[ -]century{ERA}|\b(?:early |late |mid-)?\d{{3,4}}0s\b"),
        (CandidateKind.PERIOD, r"\b(?:1\d|20)\d\d ?[-–] ?(?:(?:1\d|20)\d\d|\d\d)\b"),
        (CandidateKind.YEAR, r"\b(?:1\d|20)\d\d\b"),
        (CandidateKind.YEAR, r"\b\d{1,4} (?:BCE|BC|AD|CE)\b|\bAD \d{1,4}\b"),
        (CandidateKind.NUMBER, rf"(?<![\w.,]){DIGITS}(?![\w]|[.,]\d)"),
        (
            CandidateKind.AMOUNT,
            rf"(?:[$€£]|US\$)?(?<![\w.,]){DIGITS} ?(?:%|percent|per cent|million|billion|trillion|thousand)",
        ),
        (CandidateKind.AMOUNT, rf"(?:US\$|[$€£]) ?{DIGITS}(?: (?:million|billion|trillion))?"),
        (CandidateKind.AMOUNT, rf"(?<![\w.,]){DIGITS}[ -](?:[a-z²³°/]+(?: miles?| kilomet(?:re|er)s?)?)\b"),
        (CandidateKind.COUNT, rf"\b{COUNT}(?:[ -]{COUNT})*\b"),
        (
            CandidateKind.COUNT,
            rf"\b{COUNT}(?:[ -]{COUNT})* (?:years?|months?|days?|weeks?|hours?|decades?|centuries)\b",
        ),
        (CandidateKind.COUNT, rf"\b(?:{COUNT}|{DIGITS}) (?:to|or|and|-) (?:{COUNT}|{DIGITS})\b"),
        (CandidateKind.ORDINAL, rf"(?i:\b(?:{'|'.join(ORDINALS.split())})\b)|\b\d{{1,3}}(?:st|nd|rd|th)\b"),
        (CandidateKind.NAME, rf"\b{CAPITAL}(?: (?:{JOINT} )?(?:{CAPITAL}|\d{{1,4}}\b))*"),
        (CandidateKind.NAME, r'(?<=")[^"\n]{2,60}(?=")|(?<=“)[^”\n]{2,60}(?=”)'),
    )
)
PATTERNS_ZH: tuple[tuple[CandidateKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (CandidateKind.DATE, r"(?:前|公元前|西元前)?\d{1,4}年\d{1,2}月(?:\d{1,2}日)?|\d{1,2}月\d{1,2}日"),
        (CandidateKind.PERIOD, r"\d{1,2}世[纪紀](?:\d{1,2}年代)?|\d{2,4}年代|\d{1,2}月"),
        (CandidateKind.YEAR, r"(?:前|公元前|西元前)?\d{1,4}年"),
        (CandidateKind.NUMBER, r"(?<![\d.,])\d+(?:,\d{3})*(?:\.\d+)?"),
        (
            CandidateKind.AMOUNT,
            r"(?:约|約)?\d+(?:,\d{3})*(?:\.\d+)?[万萬亿億千百]*(?:[a-zA-Z%％²°]+|[\u4e00-\u9fff]{1,2})",
        ),
        (CandidateKind.COUNT, r"[一二三四五六七八九十百千万萬亿億两兩]+(?:[\u4e00-\u9fff])?"),
        (CandidateKind.ORDINAL, r"第(?:\d+|[一二三四五六七八九十百]+)[\u4e00-\u9fff]?"),
        (CandidateKind.NAME, r"(?<=[《「『“〈])[^《》「」『』“”〈〉\n]{1,30}(?=[》」』”〉])"),
        (CandidateKind.NAME, r"[A-Za-z][\w'’.-]*(?: [A-Za-z][\w'’.-]*)*"),
        (CandidateKind.NAME, r"[\u4e00-\u9fff]{1,6}(?:[·・][\u4e00-\u9fff]{1,6})+"),
    )
)


@dataclass(frozen=True, slots=True)
class AnswerCandidate:
    """Stretch of a passage that may be an answer; offsets count characters of the passage."""

    start: int
    end: int
    text: str
    kind: CandidateKind


def find_candidates(text: str, lang: str, anchors: Sequence[tuple[int, int]] = ()) -> list[AnswerCandidate]:
    """Return every stretch that may be an answer, in document order, without duplicates."""
    spans: dict[tuple[int, int], CandidateKind] = {}
    chinese = lang.startswith(("zh", "ja"))
    for kind, pattern in PATTERNS_ZH if chinese else PATTERNS_EN:
        for match in pattern.finditer(text):
            spans.setdefault(match.span(), kind)
            if kind is CandidateKind.NAME and not chinese:
                for part in _split_name(match):
                    spans.setdefault(part, CandidateKind.PART)
    for start, end in anchors:
        spans.setdefault((start, end), CandidateKind.NAME if text[start : start + 1].isupper() else CandidateKind.TERM)
    if chinese:
        for span in _cut_chinese(text):
            spans.setdefault(span, CandidateKind.TERM)
    found = (AnswerCandidate(start, end, text[start:end], kind) for (start, end), kind in sorted(spans.items()))
    return [c for c in found if _is_plausible(c.text)]


def _is_plausible(text: str) -> bool:
    words = text.split()
    if not words or len(words) > MAX_WORDS or len(text) > MAX_CHARS:
        return False
    return words[0].lower() not in STOPWORDS_EN or (len(words[0]) > 1 and words[0].isupper())


def _split_name(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a run of capitalised words that may be names by themselves."""
    words = [
        (m.start() + match.start(), m.end() + match.start(), m.group()) for m in re.finditer(r"\S+", match.group())
    ]
    heads = [i for i, (_, _, word) in enumerate(words) if word[0].isupper() and word.lower() not in STOPWORDS_EN]
    for i in heads:
        for j in range(i, min(len(words), i + 5)):
            if (i, j) != (0, len(words) - 1) and words[j][2][0].isupper():
                yield words[i][0], words[j][1]


def _cut_chinese(text: str) -> Iterator[tuple[int, int]]:
    previous = None
    for word, start, end in open_jieba().tokenize(text):
        if len(word) > 1 and not word.isspace():
            yield start, end
            if previous is not None and previous[1] == start:
                yield previous[0], end
        previous = (start, end) if len(word) > 1 else None
