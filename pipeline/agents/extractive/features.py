"""Views of a mask with its context, and of the passages shown with their candidates.

Everything is computed once and cached, because a passage is scored for many masks and a mask in every turn.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from pipeline.agents.extractive.candidates import AnswerCandidate
from pipeline.agents.extractive.labels import LabelTable, Surroundings
from pipeline.agents.extractive.words import Words, class_after, class_before
from pipeline.agents.roles import read_plainly
from schemas.documents import HOLE
from schemas.tasks import MASK

NEAR = 6.0  # words over which a neighbour's weight falls by e, in the narrow view
WIDE = 24.0  # and in the wide view
REACH = 10  # words of context on each side
FEW_PASSAGES = 3
NEXT = 6  # words on each side that are searched for the next index term
PAIRED = 8  # words on each side whose pairs are compared
RARE = 3.9  # inverse document frequency from which a term is a clue: that of one in 2% of the passages
YEAR = re.compile(r"(?<!\d)(?:1\d{3}|20\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """Properties of a candidate that do not depend on the mask."""

    first: int
    """Number of its first word."""
    last: int
    """Number of the word after its last."""
    begin: int
    """Number of the first word of its sentence."""
    end: int
    """Number of the word after the last of its sentence."""
    around: Surroundings
    own: frozenset[str]
    """Its index terms."""
    label: np.ndarray
    """P(label)."""
    sentence: frozenset[str]
    """Index terms of its sentence without its own."""
    pairs: frozenset[tuple[str, str]]
    """Pairs of adjacent words near it."""
    inside: int
    """Number of longer candidates that contain it."""
    holds: int
    """Number of shorter candidates that it contains."""


@dataclass(frozen=True)
class PassageFeatures:
    """Passage that was shown, tokenised, with its candidates."""

    passage_id: str
    title: str
    """Title of its page."""
    words: Words
    candidates: tuple[AnswerCandidate, ...]
    anchors: frozenset[tuple[int, int]]
    """Bounds of its links."""
    title_terms: frozenset[str] = frozenset()
    """Index terms of the title."""
    facts: dict[tuple[int, int], AnswerFacts] = field(default_factory=dict, compare=False)
    """Cache of `read_facts`, by bounds."""

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Return the word numbers of each term."""
        found: dict[str, list[int]] = {}
        for place, term in enumerate(self.words.terms):
            if term:
                found.setdefault(term, []).append(place)
        return found

    @cached_property
    def sentences(self) -> list[tuple[int, int, frozenset[str]]]:
        """Return each sentence: the number of its first word, of the word after its last, its index terms."""
        starts = (*self.words.sentences, len(self.words.text))
        bounds = [self.words.span_words(*pair) for pair in pairwise(starts)]
        return [(first, last, frozenset(self.words.terms[first:last])) for first, last in bounds]


def read_facts(source: PassageFeatures, candidate: AnswerCandidate, labels: LabelTable) -> AnswerFacts:
    """Return the properties of a candidate, computed once."""
    span = candidate.start, candidate.end
    if span not in source.facts:
        words = source.words
        first, last = words.span_words(*span)
        begin, end = words.span_words(*words.sentence_at(candidate.start))
        left, right = words.lower[max(0, first - REACH) : first][::-1], words.lower[last : last + REACH]
        around = Surroundings(left, right, class_before(words.text, span[0]), class_after(words.text, span[1]))
        own = frozenset(term for term in words.terms[first:last] if term)
        label = labels.read_candidate(candidate.kind, words.lower_of(*span), around)
        sentence = frozenset(term for term in words.terms[begin:end] if term) - own
        pairs = _pair_words(words.lower, first, last)
        inside = sum(c.start <= span[0] and span[1] <= c.end for c in source.candidates) - 1
        holds = sum(span[0] <= c.start and c.end <= span[1] for c in source.candidates) - 1
        nested = max(0, inside), max(0, holds)  # a gap between a mask's neighbours is not a candidate of its source
        source.facts[span] = AnswerFacts(first, last, begin, end, around, own, label, sentence, pairs, *nested)
    return source.facts[span]


def find_rarest(rarity: Callable[[str], float]) -> float:
    """Return the upper limit of rarity: that of a term in `FEW_PASSAGES` passages.

    The index counts the hidden source too, so that an answer is in one passage more than can be found. Without the
    limit, the difference between words of one and of two passages would reveal the words of the source.
    """
    passages = (math.exp(rarity("")) - 1) / 2 - 0.5  # inverse of the formula for a term in no passage
    return math.log(1 + max(0.0, passages - FEW_PASSAGES + 0.5) / (FEW_PASSAGES + 0.5))


def _pair_words(lower: Sequence[str], first: int, last: int) -> frozenset[tuple[str, str]]:
    """Return the pairs of adjacent words near a stretch (first word, one past its last), on each side of it."""
    before, after = lower[max(0, first - PAIRED) : first], lower[last : last + PAIRED]
    return frozenset((*pairwise(before), *pairwise(after)))


class MaskView:
    """Mask with its context; masks are omitted, and one counts as a word of distance."""

    def __init__(
        self, words: Words, at: int, offset: int, title_terms: Sequence[str], rarity: Callable[[str], float]
    ) -> None:
        """`words`: those of the masked text; `at`: number of the word after this mask; `offset`: that of the mask."""
        self.words = words
        self.at = at
        self.offset = offset
        self.rarity = rarity
        self.title_terms = frozenset(title_terms)
        self.left_word = words.lower[at - 1] if at else "^"
        self.right_word = words.lower[at] if at < len(words.lower) else "$"
        self.left = words.lower[max(0, at - REACH) : at][::-1]
        self.right = words.lower[at : at + REACH]
        before, after = class_before(words.text, offset), class_after(words.text, offset + 1)
        self.around = Surroundings(self.left, self.right, before, after)
        self.begin, self.end = words.span_words(*words.sentence_at(offset))
        self.sentence = frozenset(term for term in words.terms[self.begin : self.end] if term)
        self.pairs = _pair_words(words.lower, at, at)
        self.left_term = next((term for term in words.terms[max(0, at - NEXT) : at][::-1] if term), "")
        self.right_term = next((term for term in words.terms[at : at + NEXT] if term), "")
        self.clues = frozenset(t for t in self.sentence | self.title_terms if rarity(t) >= RARE)
        self.before_mask = frozenset(words.terms[self.begin : at])
        self.after_mask = frozenset(words.terms[at : self.end])
        self.years = [int(year) for year in YEAR.findall(words.text)]
        self.near: dict[str, float] = {}
        self.wide: dict[str, float] = {}
        for place, term in enumerate(words.terms):
            if term:
                distance = place - at + 1 if place >= at else at - place
                if rarity(term) * math.exp(-distance / NEAR) > self.near.get(term, 0.0):
                    self.near[term] = rarity(term) * math.exp(-distance / NEAR)
                    self.wide[term] = rarity(term) * math.exp(-distance / WIDE)
        self.near_sum = sum(self.near.values()) or 1.0
        self.rarest = find_rarest(rarity)
        self.terms_sum = sum(rarity(term) for term in self.near) or 1.0
        self.sentence_sum = sum(map(rarity, sorted(self.sentence))) or 1.0  # in the same order in every process


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """Candidate in its passage."""

    source: PassageFeatures
    candidate: AnswerCandidate

    @property
    def is_linked(self) -> bool:
        """Return whether the candidate is a link."""
        return (self.candidate.start, self.candidate.end) in self.source.anchors


def mask_views(
    masked_text: str, cut: Callable[[str], Words], title: str, rarity: Callable[[str], float]
) -> list[MaskView]:
    """Return one view per mask of a text."""
    pieces = read_plainly(masked_text).split(MASK)
    words = cut(HOLE.join(pieces))
    title_terms = [term for term in cut(title).terms if term]
    views, offset = [], 0
    for piece in pieces[:-1]:
        offset += len(piece)
        at, _ = words.span_words(offset, len(words.text))
        views.append(MaskView(words, at, offset, title_terms, rarity))
        offset += len(HOLE)
    return views
