"""Detector of half names: spans that are part of a name, or more than one.

A name is cut where its word goes on over a hyphen ("S-IC"), where it shares its last word with the name after it ("East
and West Florida"), where it describes a common noun ("Olympic medal"), or where a quote or a bracket is open. A list of
persons, and an anchor that is a phrase ("thirteen of its colonies"), are no names either. Links are trusted for all but
brackets and phrases: their bounds are an editor's.
"""

from __future__ import annotations

import re

from pipeline.masking.candidates import SpanCandidate
from pipeline.search.tokens import STOPWORDS_EN
from schemas.tasks import SpanKind, SpanSource

PAIRS = (("(", ")"), ("[", "]"), ("“", "”"), ("«", "»"))
JOINT = "-–/"
"""Marks that join the parts of one word."""
DIRECTION = (
    r"(?:North|South|East|West)(?:ern|east|west)?(?:ern)?|Central|Upper|Lower|Inner|Outer|New|Old|Great(?:er)?|Little"
    r"|First|Second|Third|Fourth|Fifth|World"
)
SHARES_NOUN = re.compile(rf"(?:{DIRECTION})\Z")
SHARED_NOUN = re.compile(rf",? (?:and|or|to|&) (?:the )?(?:{DIRECTION}) [A-Z]|, (?:{DIRECTION}),? (?:and|or) ")
ADJECTIVE = re.compile(r"[^\W\d_]+(?:ic|ical|ary|ial|ual|ish|ese|ean|ist|istic|ous)\Z")
ADVERB = re.compile(r"[^\W\d_]{4,}ally\Z")
"""A word before a comma, as the recogniser may take one at the start of a sentence for a name."""
COMMON_NOUN = re.compile(r"(?:-| )[a-z]")
SUFFIX = r"(?:Inc|Ltd|LLC|LLP|Co|Corp|Jr|Sr|II|III|IV|PLC|plc|S\.A|GmbH|KG|AG|[A-Z]\.[A-Z])\b"
LISTED = re.compile(rf"\A[^,&]+, (?!{SUFFIX})(?!.*(?:&| and ))|\A[A-Z]\w+ and [A-Z]\w+\Z")
TERM_WORDS = frozenset({"of", "the", "and"})
LIST_LABELS = frozenset({"PERSON", "PER", "ORG", "NORP"})
"""Labels of names that have no comma before a larger thing of their kind, as places have."""


def is_half_name(candidate: SpanCandidate, text: str) -> bool:
    """Return whether a name or term is part of a name, or more than one."""
    if candidate.kind not in (SpanKind.ENTITY, SpanKind.TERM):
        return False
    span = text[candidate.start : candidate.end]
    if _is_unbalanced(span) or _is_phrase(span):
        return True
    if candidate.source is SpanSource.LINK:
        return False
    if _goes_on(text, candidate.start, candidate.end) or (
        SHARES_NOUN.match(span) and SHARED_NOUN.match(text, candidate.end)
    ):
        return True
    if candidate.source is not SpanSource.NER:
        return False
    if _describes(span, candidate.label) and COMMON_NOUN.match(text, candidate.end):
        return True
    if ADVERB.match(span) and text.startswith(",", candidate.end):
        return True
    return candidate.label in LIST_LABELS and LISTED.search(span) is not None


def _describes(span: str, label: str) -> bool:
    """Return whether a name may be an adjective: by its ending, or as the name of a group that is no plural."""
    return ADJECTIVE.match(span) is not None or (label == "NORP" and not span.endswith("s"))


def _is_unbalanced(span: str) -> bool:
    return span.count('"') % 2 == 1 or any(span.count(left) != span.count(right) for left, right in PAIRS)


def _is_phrase(span: str) -> bool:
    """Return whether English words that begin in lower case hold a function word, other than those of a term ("head of
    state").
    """
    words = span.split()
    if len(words) < 2 or not words[0].islower():
        return False
    small = STOPWORDS_EN if words[0] in STOPWORDS_EN or not span.islower() else STOPWORDS_EN - TERM_WORDS
    return any(word in small for word in words)


def _goes_on(text: str, start: int, end: int) -> bool:
    """Return whether the span's first or last word goes on over a joint; a lower-case word after it is another word."""
    if text[start - 1 : start] in tuple(JOINT) and text[start - 2 : start - 1].isalnum():
        return True
    after = text[end + 1 : end + 2]
    return text[end : end + 1] in tuple(JOINT) and (after.isupper() or after.isdigit())
