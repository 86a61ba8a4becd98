"""How well a stretch of a passage fits a mask.

A fact told twice is told in like words: the words around the mask stand around the answer too, at like distances and
on the same side. So a candidate is scored by where the mask's neighbours stand in its passage, weighted by rarity, and
by what its form says of it beside the mask's nearest words. The features are combined linearly; a softmax over
all candidates and a null (the answer is not here) gives each answer its share of belief, summed over its places.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from rapidfuzz.distance import LCSseq

from pipeline.agents.candidates import Candidate, Kind
from pipeline.agents.labels import LabelTable, Surroundings
from pipeline.agents.words import Words, class_after, class_before
from schemas.documents import HOLE
from schemas.tasks import MASK

NEAR = 6.0  # words over which a neighbour's weight falls by e, in the narrow view
WIDE = 24.0  # and in the wide view
REACH = 10  # words to each side whose order is compared
FEATURES = (
    *("near", "wide", "side", "sentence", "passage", "left_one", "left_two", "right_one", "right_two", "left_order"),
    *("right_order", "same_title", "title_named", "names_title", "is_title", "is_anchor", "rank", "rarity", "length"),
    *("label", "both_sides", "rare_shared", "is_gap", "elsewhere_left", "elsewhere_right", "mark_before", "mark_after"),
    *("opening", "near_raw", "wide_raw", "left_rare", "right_rare"),
    *(f"is_{kind}" for kind in Kind),
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a stretch whatever the mask."""

    first: int
    """Number of its first word."""
    last: int
    """Number of the word after its last."""
    begin: int
    """Number of its sentence's first word."""
    end: int
    """Number of the word after its sentence's last."""
    around: Surroundings
    """What stands around it."""
    own: frozenset[str]
    """Its index terms."""
    label: np.ndarray
    """P(label)."""


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

    facts: dict[tuple[int, int], Facts] = field(default_factory=dict, compare=False)
    """What is known of stretches already looked at; filled by `read_facts`."""

    @cached_property
    def places(self) -> dict[str, list[int]]:
        """Where each term stands, by word number."""
        found: dict[str, list[int]] = {}
        for place, term in enumerate(self.words.terms):
            if term:
                found.setdefault(term, []).append(place)
        return found


def read_facts(source: Source, candidate: Candidate, labels: LabelTable) -> Facts:
    """Look at a stretch once."""
    span = candidate.start, candidate.end
    if span not in source.facts:
        words = source.words
        first, last = words.span_words(*span)
        begin, end = words.span_words(*words.sentence_at(candidate.start))
        left, right = words.lower[max(0, first - REACH) : first][::-1], words.lower[last : last + REACH]
        around = Surroundings(left, right, class_before(words.text, span[0]), class_after(words.text, span[1]))
        own = frozenset(term for term in words.terms[first:last] if term)
        label = labels.read_candidate(candidate.kind, words.lower[first:last] or ("",), around)
        source.facts[span] = Facts(first, last, begin, end, around, own, label)
    return source.facts[span]


class MaskView:
    """A mask and what stands around it, masks left out and counted as one word."""

    def __init__(
        self, words: Words, at: int, offset: int, title_terms: Sequence[str], rarity: Callable[[str], float]
    ) -> None:
        """`words` are the masked text's, `at` the word that follows this mask, `offset` where the mask stands."""
        self.words = words
        self.at = at
        self.offset = offset
        self.rarity = rarity
        self.title_terms = frozenset(title_terms)
        self.before = class_before(words.text, offset)
        self.after = class_after(words.text, offset + 1)
        self.left_word = words.lower[at - 1] if at else "^"
        self.right_word = words.lower[at] if at < len(words.lower) else "$"
        self.left_rarity = rarity(words.terms[at - 1]) / 10.0 if at and words.terms[at - 1] else 0.0
        self.right_rarity = rarity(words.terms[at]) / 10.0 if at < len(words.terms) and words.terms[at] else 0.0
        self.left = words.lower[max(0, at - REACH) : at][::-1]
        self.right = words.lower[at : at + REACH]
        begin, end = words.span_words(*words.sentence_at(offset))
        self.sentence = frozenset(term for term in words.terms[begin:end] if term)
        self.near: dict[str, float] = {}
        self.wide: dict[str, float] = {}
        self.follows: dict[str, bool] = {}
        for place, term in enumerate(words.terms):
            if term:
                distance = place - at + 1 if place >= at else at - place
                if rarity(term) * math.exp(-distance / NEAR) > self.near.get(term, 0.0):
                    self.near[term] = rarity(term) * math.exp(-distance / NEAR)
                    self.wide[term] = rarity(term) * math.exp(-distance / WIDE)
                    self.follows[term] = place >= at
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


@dataclass(slots=True)
class Usage:
    """How a candidate text is used where it stands."""

    before: set[str]
    """Words right before it."""
    after: set[str]
    """Words right after it."""
    inside: bool = False
    """It stands with a capital elsewhere than at the head of a sentence."""


def measure_places(
    view: MaskView, places: Sequence[Place], ranks: dict[str, int], labels: LabelTable, title: str
) -> np.ndarray:
    """One row of `FEATURES` for each place; all values lie in about -3..3."""
    shared: dict[str, Shared] = {}
    rows = []
    expected = labels.read_context(Surroundings(view.left, view.right, view.before, view.after))
    usage = _collect_usage(places, labels)
    for place in places:
        source = place.source
        if source.passage_id not in shared:
            shared[source.passage_id] = _share(view, source, ranks, title)
        rows.append(_measure_place(view, place, shared[source.passage_id], usage, labels, expected))
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def _share(view: MaskView, source: Source, ranks: dict[str, int], title: str) -> Shared:
    rarity, places = view.rarity, source.places
    terms = tuple(
        (t, tuple(places[t]), weight, view.wide[t], view.follows[t], rarity(t) if t in view.sentence else 0.0)
        for t, weight in view.near.items()
        if t in places
    )
    overlap = sum(rarity(term) for term, *_ in terms) / view.all_sum
    title_sum = sum(map(rarity, view.title_terms)) or 1.0
    names_title = sum(rarity(term) for term in view.title_terms if term in places) / title_sum
    named = float(source.title != title and source.title.lower() in view.words.text.lower())
    rank = 1.0 / (1.0 + ranks[source.passage_id])
    return Shared(terms, (overlap, float(source.title == title), named, names_title, rank))


def _collect_usage(places: Sequence[Place], labels: LabelTable) -> dict[str, Usage]:
    """How each candidate text is used over all the passages."""
    usage: dict[str, Usage] = {}
    for place in places:
        words, candidate = place.source.words, place.candidate
        around = read_facts(place.source, candidate, labels).around
        use = usage.setdefault(candidate.text.casefold(), Usage(set(), set()))
        use.before.add(around.left[0] if around.left else "^")
        use.after.add(around.right[0] if around.right else "$")
        use.inside |= candidate.start not in words.sentences and candidate.text[0].isupper()
    return usage


def _measure_place(
    view: MaskView, place: Place, shared: Shared, usage: dict[str, Usage], labels: LabelTable, expected: np.ndarray
) -> list[float]:
    source, candidate = place.source, place.candidate
    facts = read_facts(source, candidate, labels)
    first, last, begin, end, own = facts.first, facts.last, facts.begin, facts.end, facts.own
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
    left, right = facts.around.left, facts.around.right
    left_one, left_two = _match_ends(view.left, left)
    right_one, right_two = _match_ends(view.right, right)
    use = usage[candidate.text.casefold()]
    own_rarity = [view.rarity(term) for term in sorted(own)]
    kind = [float(candidate.kind is kind) for kind in Kind]
    return [
        *(near / view.near_sum, wide / view.wide_sum, side / view.near_sum, sentence / view.sentence_sum, overlap),
        *(left_one, left_two, right_one, right_two),
        *(LCSseq.similarity(view.left, left) / REACH, LCSseq.similarity(view.right, right) / REACH),
        *(same_title, named, names_title, float(candidate.text.lower() == source.title.lower())),
        *(float((candidate.start, candidate.end) in source.anchors), rank),
        *(sum(own_rarity) / max(1, len(own_rarity)) / 10.0, math.log1p(len(candidate.text)) / 3.0),
        *(labels.agreement(expected, facts.label), left_one * right_one, rare / 10.0, float(place.gap)),
        *(float(view.left_word in use.before), float(view.right_word in use.after)),
        *(float(view.before == facts.around.before), float(view.after == facts.around.after)),
        float(not use.inside and first + 1 == last and candidate.text[0].isupper()),
        *(near / 10.0, wide / 10.0),
        view.left_rarity * (view.left_word in use.before),
        view.right_rarity * (view.right_word in use.after),
        *kind,
    ]


def _match_ends(wanted: Sequence[str], here: Sequence[str]) -> tuple[float, float]:
    one = float(wanted[:1] == here[:1])
    two = float(len(wanted) > 1 and wanted[:2] == here[:2])
    return one, two


def share_belief(scores: np.ndarray, texts: Sequence[str]) -> dict[str, float]:
    """Softmax over places and a null of score 0, summed over places of one text (case-folded)."""
    top = max(0.0, float(scores.max(initial=0.0)))
    weights = np.exp(scores - top)
    total = float(weights.sum()) + math.exp(-top)
    belief: dict[str, float] = {}
    for text, weight in zip(texts, weights.tolist(), strict=True):
        belief[text] = belief.get(text, 0.0) + weight / total
    return belief


def mask_views(
    masked_text: str, cut: Callable[[str], Words], title: str, rarity: Callable[[str], float]
) -> list[MaskView]:
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
