"""How well a stretch of a passage fits a mask.

A fact told twice is told in like words: the words around the mask stand around the answer too, at like distances and
on the same side. So a candidate is scored by where the mask's neighbours stand in its passage, weighted by rarity, and
by what its form says of it beside the mask's nearest words. The features are combined linearly; a softmax over all candidates
and a null (the answer is not here) gives each answer its share of belief, summed over the places it stands in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rapidfuzz.distance import LCSseq

from pipeline.agents.candidates import Candidate, Kind
from pipeline.agents.words import Words
from schemas.documents import HOLE
from schemas.tasks import MASK

NEAR = 6.0  # words over which a neighbour's weight falls by e, in the narrow view
WIDE = 24.0  # and in the wide view
REACH = 10  # words to each side whose order is compared
FEATURES = (
    *("near", "wide", "side", "sentence", "passage", "left_one", "left_two", "right_one", "right_two", "left_order"),
    *("right_order", "same_title", "title_named", "names_title", "is_title", "is_anchor", "rank", "rarity", "length", "kind_left"),
    *("kind_right", "both_sides", "rare_shared", "is_gap"),
    *(f"is_{kind}" for kind in Kind),
)


@dataclass(frozen=True)
class Source:
    """A passage that was shown, cut into words, with its candidates."""

    passage_id: str
    """The passage."""
    title: str
    """Its page's title."""
    words: Words
    """Its words."""
    candidates: tuple[Candidate, ...]
    """Its stretches that could be answers."""
    anchors: frozenset[tuple[int, int]]
    """Its links."""

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each term stands, by word number."""
        found: dict[str, list[int]] = {}
        for place, term in enumerate(self.words.terms):
            if term:
                found.setdefault(term, []).append(place)
        return found


class MaskView:
    """A mask and what stands around it, masks left out and counted as one word."""

    def __init__(self, words: Words, at: int, offset: int, title_terms: Sequence[str], rarity: Callable[[str], float]) -> None:
        """`words` are those of the masked text, `at` the word that follows this mask, `offset` where the mask stands."""
        self.words = words
        self.at = at
        self.offset = offset
        self.rarity = rarity
        self.title_terms = frozenset(title_terms)
        self.left = words.lower[max(0, at - REACH) : at][::-1]
        self.right = words.lower[at : at + REACH]
        begin, end = words.span_words(*words.sentence_at(offset))
        self.sentence = frozenset(term for term in words.terms[begin:end] if term)
        self.near: dict[str, float] = {}
        self.wide: dict[str, float] = {}
        self.after: dict[str, bool] = {}
        for place, term in enumerate(words.terms):
            if term:
                distance = place - at + 1 if place >= at else at - place
                if rarity(term) * math.exp(-distance / NEAR) > self.near.get(term, 0.0):
                    self.near[term] = rarity(term) * math.exp(-distance / NEAR)
                    self.wide[term] = rarity(term) * math.exp(-distance / WIDE)
                    self.after[term] = place >= at
        self.near_sum = sum(self.near.values()) or 1.0
        self.wide_sum = sum(self.wide.values()) or 1.0
        self.all_sum = sum(rarity(term) for term in self.near) or 1.0
        self.sentence_sum = sum(rarity(term) for term in self.sentence) or 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """A candidate where it stands."""

    source: Source
    """The passage."""
    candidate: Candidate
    """The stretch."""
    gap: bool = False
    """It was found between the mask's own neighbours, whatever its form."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a mask's surroundings and a passage have in common, whatever the candidate."""

    terms: tuple[tuple[str, tuple[int, ...], float, float, bool, float], ...]
    """Term, its places in the passage, its near and wide weight, whether it follows the mask, its rarity if it stands
    in the mask's sentence."""
    values: tuple[float, ...]
    """The features that depend on the passage alone."""


def measure_places(view: MaskView, places: Iterable[Place], ranks: dict[str, int], kinds: KindTable, title: str) -> np.ndarray:
    """One row of `FEATURES` for each place; all values lie in about -3..3."""
    shared: dict[str, Shared] = {}
    rows = []
    for place in places:
        source = place.source
        if source.passage_id not in shared:
            shared[source.passage_id] = _share(view, source, ranks, title)
        rows.append(_measure_place(view, place, shared[source.passage_id], kinds))
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def _share(view: MaskView, source: Source, ranks: dict[str, int], title: str) -> Shared:
    rarity, places = view.rarity, source.places
    terms = tuple(
        (t, tuple(places[t]), weight, view.wide[t], view.after[t], rarity(t) if t in view.sentence else 0.0)
        for t, weight in view.near.items()
        if t in places
    )
    overlap = sum(rarity(term) for term, *_ in terms) / view.all_sum
    title_sum = sum(map(rarity, view.title_terms)) or 1.0
    names_title = sum(rarity(term) for term in view.title_terms if term in places) / title_sum
    named = float(source.title != title and source.title.lower() in view.words.text.lower())
    rank = 1.0 / (1.0 + ranks[source.passage_id])
    return Shared(terms, (overlap, float(source.title == title), named, names_title, rank))


def _measure_place(view: MaskView, place: Place, shared: Shared, kinds: KindTable) -> list[float]:
    source, candidate = place.source, place.candidate
    words = source.words
    first, last = words.span_words(candidate.start, candidate.end)
    begin, end = words.span_words(*words.sentence_at(candidate.start))
    own = words.terms[first:last]
    near = wide = side = sentence = rare = 0.0
    for term, places, near_weight, wide_weight, after, rarity in shared.terms:
        if term in own:
            continue
        distance, at = min((first - at, at) if at < first else (at - last + 1, at) for at in places)
        here = near_weight * math.exp(-distance / NEAR)
        near += here
        wide += wide_weight * math.exp(-distance / WIDE)
        side += here if after == (at >= last) else -here
        if rarity and begin <= at < end:
            sentence += rarity
            rare = max(rare, rarity)
    overlap, same_title, named, names_title, rank = shared.values
    left, right = words.lower[max(0, first - REACH) : first][::-1], words.lower[last : last + REACH]
    left_one, left_two = _match_ends(view.left, left)
    right_one, right_two = _match_ends(view.right, right)
    own_rarity = [view.rarity(term) for term in own if term]
    kind = [float(candidate.kind is kind) for kind in Kind]
    return [
        *(near / view.near_sum, wide / view.wide_sum, side / view.near_sum, sentence / view.sentence_sum, overlap),
        *(left_one, left_two, right_one, right_two),
        *(LCSseq.similarity(view.left, left) / REACH, LCSseq.similarity(view.right, right) / REACH),
        *(same_title, named, names_title, float(candidate.text.lower() == source.title.lower())),
        *(float((candidate.start, candidate.end) in source.anchors), rank),
        *(sum(own_rarity) / max(1, len(own_rarity)) / 10.0, math.log1p(len(candidate.text)) / 3.0),
        *(kinds.left(view.left, candidate.kind), kinds.right(view.right, candidate.kind), left_one * right_one),
        *(rare / 10.0, float(place.gap), *kind),
    ]


def _match_ends(wanted: Sequence[str], here: Sequence[str]) -> tuple[float, float]:
    one = float(bool(wanted) and bool(here) and wanted[0] == here[0] or not wanted and not here)
    two = float(one > 0 and len(wanted) > 1 and len(here) > 1 and wanted[1] == here[1])
    return one, two


class KindTable:
    """What the words beside a stretch say of its kind: log of P(kind beside word) over P(kind), from counts."""

    def __init__(self, left: dict[str, dict[str, float]], right: dict[str, dict[str, float]]) -> None:
        self._left = left
        self._right = right

    def left(self, words: Sequence[str], kind: Kind) -> float:
        """The log ratio for the word before; 0 for a word without a row."""
        return self._left.get(words[0] if words else "^", {}).get(kind, 0.0)

    def right(self, words: Sequence[str], kind: Kind) -> float:
        """The log ratio for the word after; 0 for a word without a row."""
        return self._right.get(words[0] if words else "$", {}).get(kind, 0.0)


def share_belief(scores: np.ndarray, texts: Sequence[str]) -> dict[str, float]:
    """Softmax over places and a null of score 0, summed over places of one text (case-folded)."""
    top = max(0.0, float(scores.max(initial=0.0)))
    weights = np.exp(scores - top)
    total = float(weights.sum()) + math.exp(-top)
    belief: dict[str, float] = {}
    for text, weight in zip(texts, weights.tolist(), strict=True):
        belief[text] = belief.get(text, 0.0) + weight / total
    return belief


def mask_views(masked_text: str, cut: Callable[[str], Words], title: str, rarity: Callable[[str], float]) -> list[MaskView]:
    """One view for each mask of a text."""
    pieces = masked_text.split(MASK)
    words = cut(HOLE.join(pieces))
    title_terms = [term for term in cut(title).terms if term]
    views, offset = [], 0
    for piece in pieces[:-1]:
        offset += len(piece)
        at, _ = words.span_words(offset, len(words.text))
        views.append(MaskView(words, at, offset, title_terms, rarity))
        offset += len(HOLE)
    return views
