"""Spans from a function of the user, checked before they join those of the other sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pipeline.masking.candidates import SpanCandidate
from schemas.passages import Passage
from schemas.tasks import SpanKind, SpanSource

Extract = Callable[[str, str, str], Iterable[tuple[int, int, str]]]
"""Text, title and language code of a passage in; start, end and kind of each span out."""
DETAIL_CHARS = 200


class ExtractorError(Exception):
    """The function raised, or returned something that is not a list of spans; the message is for a reject."""


def call_extractor(extract: Extract | None, passage: Passage) -> list[SpanCandidate]:
    """The spans found in a passage; none without a function. Raises ExtractorError."""
    if extract is None:
        return []
    try:
        returned = list(extract(passage.text, passage.title, passage.lang))
    except Exception as error:  # whatever the user's function raises
        raise ExtractorError(f"{type(error).__name__}: {error}"[:DETAIL_CHARS]) from error
    return [_read_span(item, passage) for item in returned]


def _read_span(item: Any, passage: Passage) -> SpanCandidate:
    try:
        start, end, kind = item
        if not (type(start) is type(end) is int and 0 <= start < end <= len(passage.text)):
            raise ValueError("start and end are not offsets into the text")
        kind = SpanKind(kind)
    except (TypeError, ValueError) as error:
        raise ExtractorError(f"{item!r} is not a span: {error}"[:DETAIL_CHARS]) from error
    return SpanCandidate(start, end, kind, kind.value, SpanSource.CUSTOM)
