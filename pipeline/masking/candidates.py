"""Candidate spans, and the merge of several sources into one list without overlaps.

A link is gold and a rule is exact; a named entity is a guess. Therefore links and rules are placed first, the longer
one winning; an entity then takes free text, or replaces the one link or rule inside it ("War of 1812" over "1812"), but
never cuts through one and never joins two ("Putney, London" with a link in each). Of equal bounds the link is kept
before the rule and the rule before the name, and a link adopts the finer kind and label of the others.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace

from schemas.tasks import SpanKind, SpanSource

RANK = {SpanSource.LINK: 0, SpanSource.RULE: 1, SpanSource.CUSTOM: 2, SpanSource.LLM: 3, SpanSource.NER: 4}
EXACT = (SpanSource.LINK, SpanSource.RULE)

TITLE_LABELS = {"WORK_OF_ART"}
"""Labels of names that keep a capital article, which is part of them ("The Hobbit")."""

LEADING = re.compile(r"(?:[\s\"'“”‘’«»„`(\[,;:.–—-]+|(?:the|an?|his|her|its|their|this|that|these|those|our|my) +)+")
CAPITAL_ARTICLE = re.compile(r"(?:The|An?) +(?=\S)")
TRAILING = re.compile(
    r"(?:['’]s| (?:and|or|of|the|in|for|by|to)|[\s\"'“”‘’«»„`(\[,;:–—-]"
    r"|(?<![A-Z])(?<!\.[a-z])(?<!\b(?:Jr|Sr|St|Co))(?<!\b(?:Inc|Ltd))(?<!Bros)\.)+$"
)
OPEN_BRACKET = re.compile(r"\s*[(\[][^)\]]*$")


@dataclass(frozen=True, slots=True)
class SpanCandidate:
    """Stretch of a passage proposed by some source; offsets count characters of the passage's text."""

    start: int
    end: int
    kind: SpanKind
    label: str
    source: SpanSource
    target: str | None = None
    aliases: tuple[str, ...] = ()


def trim_candidate(candidate: SpanCandidate, text: str) -> SpanCandidate | None:
    """Strip determiners, quotes, brackets, punctuation and a possessive from both ends; None when nothing is left.

    Links and rule spans are exact and unchanged; titles of works keep a capital "The".
    """
    if candidate.source in EXACT:
        return candidate
    span = text[candidate.start : candidate.end]
    start = candidate.start
    if leading := LEADING.match(span):
        start += leading.end()
    if candidate.label not in TITLE_LABELS and (article := CAPITAL_ARTICLE.match(text, start, candidate.end)):
        start = article.end()
    span = text[start : candidate.end]
    if "(" in span or "[" in span:
        span = OPEN_BRACKET.sub("", span)
    span = TRAILING.sub("", span)
    if span.endswith((")", "]")) and span.count("(") + span.count("[") < span.count(")") + span.count("]"):
        span = span[:-1]
    if not span:
        return None
    end = start + len(span)
    if (start, end) == (candidate.start, candidate.end):
        return candidate
    return replace(candidate, start=start, end=end)


def merge_candidates(candidates: Iterable[SpanCandidate]) -> tuple[list[SpanCandidate], list[SpanCandidate]]:
    """Split into kept candidates, in document order and disjoint, and those that lost to an overlapping one.

    The order of the input does not matter; candidates with equal bounds are merged.
    """
    unique = join_equal(candidates)
    exact = sorted((c for c in unique if c.source in EXACT), key=lambda c: (c.start - c.end, RANK[c.source], c.start))
    others = sorted((c for c in unique if c.source not in EXACT), key=lambda c: (c.start - c.end, c.start))
    kept: list[SpanCandidate] = []
    lost: list[SpanCandidate] = []
    for candidate in exact:
        if _find_overlaps(kept, candidate):
            lost.append(candidate)
        else:
            insort(kept, candidate, key=_order)
    for candidate in others:
        overlaps = _find_overlaps(kept, candidate)
        if not overlaps:
            insort(kept, candidate, key=_order)
        elif len(overlaps) == 1 and _holds(candidate, overlaps[0]):
            kept.remove(overlaps[0])
            lost.append(overlaps[0])
            insort(kept, candidate, key=_order)
        else:
            lost.append(candidate)
    return kept, sorted(lost, key=_order)


def _order(candidate: SpanCandidate) -> tuple[int, int]:
    return candidate.start, candidate.end


def join_equal(candidates: Iterable[SpanCandidate]) -> list[SpanCandidate]:
    """Return one candidate for each pair of bounds, of the source with the best rank."""
    by_bounds: dict[tuple[int, int], SpanCandidate] = {}
    for candidate in sorted(candidates, key=lambda c: (c.start, c.end, RANK[c.source], c.label, c.target or "")):
        first = by_bounds.get((candidate.start, candidate.end))
        by_bounds[candidate.start, candidate.end] = candidate if first is None else _join_pair(first, candidate)
    return list(by_bounds.values())


def _join_pair(first: SpanCandidate, second: SpanCandidate) -> SpanCandidate:
    """Merge two sources of one stretch; `first` has the better rank."""
    if first.source is SpanSource.LINK and second.source is not SpanSource.LINK:
        # The anchor alone does not give the kind of thing it names; the other source does.
        return replace(first, kind=second.kind, label=second.label, aliases=first.aliases + second.aliases)
    return first


def _find_overlaps(kept: list[SpanCandidate], candidate: SpanCandidate) -> list[SpanCandidate]:
    """Return the kept candidates (sorted, disjoint) that overlap the candidate."""
    low = bisect_right(kept, candidate.start, key=lambda c: c.end)
    high = bisect_left(kept, candidate.end, key=lambda c: c.start)
    return kept[low:high]


def _holds(outer: SpanCandidate, inner: SpanCandidate) -> bool:
    # A term or name that swallows a full date would hide two facts under one; a bare year or number is part of a name.
    bare = inner.source is SpanSource.LINK or inner.label in {"year", "cardinal", "ordinal", "ordinal_word"}
    return bare and outer.start <= inner.start and inner.end <= outer.end
