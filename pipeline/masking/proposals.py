"""Proposals of a language model: checked, read back, and compared with the spans of recogniser, links and rules.

Guarantees: a proposal occurs in its passage verbatim, at word bounds; nothing else is ever hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from pipeline.masking.candidates import SpanCandidate, join_equal
from schemas.tasks import Proposals, ProposedSpan, SpanKind, SpanSource

BOTH = "both"
ONLY_MODEL = "only_llm"
ONLY_OTHERS = "only_others"

_SPACED_END = re.compile(r"[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""A letter or figure of a script that puts spaces between words."""


def locate_spans(text: str, proposed: Iterable[tuple[str, SpanKind]]) -> tuple[list[ProposedSpan], list[str]]:
    """Return the first occurrence of each proposed text, in document order, and the texts that do not occur in the
    passage.
    """
    found: dict[tuple[int, int], ProposedSpan] = {}
    missing: list[str] = []
    for words, kind in proposed:
        start = _find_whole(text, words)
        if start is None:
            missing.append(words)
        else:
            end = start + len(words)
            found.setdefault((start, end), ProposedSpan(start=start, end=end, kind=kind))
    return [found[bounds] for bounds in sorted(found)], missing


def _find_whole(text: str, words: str) -> int | None:
    """Return the first occurrence of the words that does not cut through a word of the text."""
    start = text.find(words) if words else -1
    while start >= 0:
        end = start + len(words)
        if not (_cuts_word(text, start) or _cuts_word(text, end)):
            return start
        start = text.find(words, start + 1)
    return None


def _cuts_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and all(_SPACED_END.match(character) for character in text[at - 1 : at + 1])


def read_proposals(proposals: Proposals) -> list[SpanCandidate]:
    """Return proposals as candidates for the merge."""
    return [SpanCandidate(span.start, span.end, span.kind, span.kind.value, SpanSource.LLM) for span in proposals.spans]


def compare_proposals(candidates: Iterable[SpanCandidate]) -> dict[SpanKind, Counter[str]]:
    """Count the stretches found by the model and the other sources, and by each alone, by kind.

    Candidates are compared by their bounds, so they must be trimmed. A stretch that the model found has the kind given
    by the model.
    """
    found = list(candidates)
    ours = {(c.start, c.end): c.kind for c in join_equal(c for c in found if c.source is SpanSource.LLM)}
    theirs = {(c.start, c.end): c.kind for c in join_equal(c for c in found if c.source is not SpanSource.LLM)}
    sums: dict[SpanKind, Counter[str]] = {}
    for bounds, kind in sorted((theirs | ours).items()):
        finder = ONLY_OTHERS if bounds not in ours else BOTH if bounds in theirs else ONLY_MODEL
        sums.setdefault(kind, Counter())[finder] += 1
    return sums
