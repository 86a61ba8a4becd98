"""What a language model would hide, beside what a recogniser of names finds: checked, read back, compared.

Promises: a proposal stands in its passage letter by letter, at word bounds; nothing else is ever hidden.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.masking.candidates import Candidate, trim_candidate
from schemas.tasks import Proposals, ProposedSpan, SpanKind, SpanSource

BOTH = "both"
ONLY_MODEL = "only_llm"
ONLY_RECOGNISER = "only_ner"

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


def read_proposals(proposals: Proposals | None) -> list[Candidate]:
    """Proposals as candidates for the merge; an empty list for a passage that none were made for."""
    spans = proposals.spans if proposals else ()
    return [Candidate(span.start, span.end, span.kind, span.kind.value, SpanSource.LLM) for span in spans]


def compare_proposals(proposed: Sequence[Candidate], names: Sequence[Candidate], text: str) -> Counter[str]:
    """How many names the model and the recogniser found both, and each alone, by bounds after trimming.

    Only names are compared: dates and numbers the recogniser leaves to the rules.
    """
    ours, theirs = (
        {(t.start, t.end) for c in side if c.kind is SpanKind.ENTITY and (t := trim_candidate(c, text))}
        for side in (proposed, names)
    )
    sums = {BOTH: len(ours & theirs), ONLY_MODEL: len(ours - theirs), ONLY_RECOGNISER: len(theirs - ours)}
    return Counter({reason: count for reason, count in sums.items() if count})
