"""What a language model would hide, beside what recogniser, links and rules find: checked, read back, compared.

Promises: a proposal stands in its passage letter by letter, at word bounds; nothing else is ever hidden.
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


def locate_spans(text: str, said: Iterable[tuple[str, SpanKind]]) -> tuple[list[ProposedSpan], list[str]]:
    """The first place of each text said, in document order, and those that stand nowhere in the passage."""
    found: dict[tuple[int, int], ProposedSpan] = {}
    missing: list[str] = []
    for words, kind in said:
        start = _find_whole(text, words)
        if start is None:
            missing.append(words)
        else:
            end = start + len(words)
            found.setdefault((start, end), ProposedSpan(start=start, end=end, kind=kind))
    return [found[bounds] for bounds in sorted(found)], missing


def _find_whole(text: str, words: str) -> int | None:
    """Where the words first stand without cutting through a word of the text."""
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
    """Proposals as candidates for the merge."""
    return [SpanCandidate(span.start, span.end, span.kind, span.kind.value, SpanSource.LLM) for span in proposals.spans]


def compare_proposals(candidates: Iterable[SpanCandidate]) -> dict[SpanKind, Counter[str]]:
    """How many stretches the model and the other sources found both, and each alone, by kind.

    Candidates are compared by their bounds, so they must be trimmed. A stretch that the model found is of the kind that
    the model says.
    """
    found = list(candidates)
    ours = {(c.start, c.end): c.kind for c in join_equal(c for c in found if c.source is SpanSource.LLM)}
    theirs = {(c.start, c.end): c.kind for c in join_equal(c for c in found if c.source is not SpanSource.LLM)}
    sums: dict[SpanKind, Counter[str]] = {}
    for bounds, kind in sorted((theirs | ours).items()):
        finder = ONLY_OTHERS if bounds not in ours else BOTH if bounds in theirs else ONLY_MODEL
        sums.setdefault(kind, Counter())[finder] += 1
    return sums
