"""Filter of candidates, with the reason why one may not be masked.

A span must not be given away by its question (`giveaways`). It must be a whole fact or name,
and its sentence must be complete.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.giveaways import GiveAways
from pipeline.masking.half_facts import PLAIN_SPACES, is_half_fact
from pipeline.masking.half_names import is_half_name
from pipeline.masking.mentions import Places, blank_mentions, list_texts
from pipeline.masking.words import PassageWords, Roots, is_wide
from pipeline.passages.sentences import find_sentences
from schemas.documents import HOLE, LIST_MARK
from schemas.masking_config import MaskingConfig
from schemas.passages import Passage
from schemas.tasks import MASK, REPEAT, SpanKind

TEMPLATE_HOLE = "template_hole"
TOO_SHORT = "too_short"
TOO_LONG = "too_long"
WEAK = "weak"
HALF_FACT = "half_fact"
HALF_NAME = "half_name"
OVERLAPS = "overlaps"
NO_EVIDENCE = "no_evidence"
AMBIGUOUS = "ambiguous"
INFERABLE = "inferable"
EASY = "easy"
NOISE = "noise"
KNOWN = "known"

EXTRACTOR_FAILED = "extractor_failed"
NO_SPAN = "no_span"
CONTAINS_MASK = "contains_mask"
NOT_PROSE = "not_prose"

MAX_LIST_SHARE = 0.5
TELLING_LENGTH = 3
"""Letters of the shortest word that identifies the subject of a link; "of" does not."""
CHARACTERS_PER_WORD = 2
"""Chinese characters that count as one word, for the longest span."""


def check_passage(passage: Passage) -> str | None:
    """Return why a passage cannot be masked at all, or None."""
    text = passage.text
    if MASK in text or any(map(REPEAT.search, list_texts(passage))):
        return CONTAINS_MASK
    if LIST_MARK in text:
        listed = sum(len(line) for line in text.split("\n") if line.startswith(LIST_MARK))
        if listed > MAX_LIST_SHARE * len(text):
            return NOT_PROSE
    return None


class SpanFilter:
    """Filter of the candidates of one passage, which is tokenised into words once."""

    def __init__(self, passage: Passage, roots: Roots, config: MaskingConfig) -> None:
        self._text = passage.text
        self._plain = passage.text.translate(PLAIN_SPACES)
        self._lang = passage.lang.split("-")[0]
        self._roots = roots
        self._config = config
        self._words = PassageWords(passage.text, roots)
        self._giveaways = GiveAways(passage, self._words, roots)
        self._passage = passage
        self._holes = _find_holes(passage.text)

    def check(self, candidate: SpanCandidate, aliases: Sequence[str], hidden: Places = ()) -> str | None:
        """Return the reason why a candidate may not be masked, or None. `hidden`: mentions that are hidden with it."""
        low, high = self._words.find_range(candidate.start, candidate.end)
        span = self._text[candidate.start : candidate.end]
        checks: tuple[Callable[[], str | None], ...] = (
            lambda: self._check_length(span, low, high),
            lambda: HALF_FACT if is_half_fact(self._plain, candidate.start, candidate.end, self._lang) else None,
            lambda: HALF_NAME if is_half_name(candidate, self._text) else None,
            lambda: WEAK if self._is_weak(candidate, low, high) else None,
            lambda: TEMPLATE_HOLE if self._stands_by_hole(candidate) else None,
            lambda: self._find_giveaway(candidate, aliases, hidden),
        )
        return next((reason for check in checks if (reason := check())), None)

    def _find_giveaway(self, candidate: SpanCandidate, aliases: Sequence[str], hidden: Places) -> str | None:
        words, giveaways = self._words, self._giveaways
        if any(hidden):
            passage = blank_mentions(self._passage, hidden)
            words = PassageWords(passage.text, self._roots)
            giveaways = GiveAways(passage, words, self._roots)
        return giveaways.find(candidate, *words.find_range(candidate.start, candidate.end), aliases)

    def _check_length(self, span: str, low: int, high: int) -> str | None:
        if low == high or (len(span) < self._config.min_chars and not span.isdigit()):
            return TOO_SHORT
        words = self._words.words[low:high]
        wide = sum(map(is_wide, words))
        if len(words) - wide + wide / CHARACTERS_PER_WORD > self._config.max_words:
            return TOO_LONG
        return None

    def _is_weak(self, candidate: SpanCandidate, low: int, high: int) -> bool:
        """Return whether a search could not target the candidate: a bare figure, or common words linked to something of
        another name.
        """
        if candidate.label == "cardinal":
            return candidate.end - candidate.start == 1
        if candidate.kind is SpanKind.TERM and candidate.target is not None:
            target = self._roots.encode(candidate.target)
            telling = (at for at in range(low, high) if len(self._words.words[at]) >= TELLING_LENGTH)
            return not any(self._words.encode_range(at, at + 1) in target for at in telling)
        return False

    def _stands_by_hole(self, candidate: SpanCandidate) -> bool:
        return any(start < candidate.end and candidate.start < end for start, end in self._holes)


def _find_holes(text: str) -> list[tuple[int, int]]:
    """Return the bounds of the sentences that contain a template's hole."""
    if HOLE not in text:
        return []
    bounds = find_sentences(text)
    starts = [start for start, _ in bounds]
    holes = {bisect_right(starts, at) - 1 for at, character in enumerate(text) if character == HOLE}
    return [bounds[index] for index in sorted(holes)]
