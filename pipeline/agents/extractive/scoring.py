"""Scoring of candidates: how well a stretch of a passage fits a mask.

A fact stated twice is stated in similar words: the words around the mask are around the answer too, and rare and near
ones count most. Thus a place is scored by the positions of the mask's neighbours around it and by its form; its text
also by all places where it occurs: between which words, how often, and whether it is of the expected kind. The features
are combined linearly; a softmax over all places and a null (the answer is absent) gives each text its share of belief,
summed over its places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.agents.extractive.candidates import AnswerCandidate, CandidateKind
from pipeline.agents.extractive.features import (
    NEAR,
    WIDE,
    YEAR,
    AnswerFacts,
    AnswerPlace,
    MaskView,
    PassageFeatures,
    read_facts,
)
from pipeline.agents.extractive.labels import LabelTable, Surroundings
from pipeline.agents.extractive.weights import OF_PLACE, WEIGHTS
from pipeline.agents.extractive.words import Words

CLUES = 3  # clues that a sentence of evidence has, as in `masking.evidence_clues`
BESIDE = 4  # words on each side of an item in which its neighbours are looked for
JOINTS = frozenset({"and", "or", "和", "与", "及"})
RUN = 4  # words compared from the mask outwards
PLAIN = 0.1  # weight of an equal stopword; that of a rare word is about 0.8
RARITY_UNIT = 10.0
FAR = 12  # words beyond which a neighbour counts as absent
OTHER_SIDE = 4  # words added to the distance of a neighbour on the wrong side
SENTENCE = list(OF_PLACE).index("sentence")
KIND_CODES = {kind: tuple(float(kind is other) for other in CandidateKind) for kind in CandidateKind}


@dataclass(frozen=True, slots=True)
class Shared:
    """Overlap of a mask's surroundings with a passage, independent of the candidate."""

    terms: tuple[tuple[str, tuple[int, ...], float, float, float], ...]
    """Term, its positions in the passage, its near and wide weight, its rarity if it is in the mask's sentence."""
    values: tuple[float, ...]
    """Features that depend on the passage alone."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Fit of one place."""

    place: AnswerPlace
    facts: AnswerFacts
    values: tuple[float, ...]
    """Features `OF_PLACE`."""


def measure_places(
    view: MaskView, places: Sequence[AnswerPlace], listed: Sequence[AnswerCandidate], labels: LabelTable, title: str
) -> np.ndarray:
    """Return one row of features (as in `WEIGHTS`) for each place; `listed` are the mask's neighbours in an
    enumeration.
    """
    shared: dict[str, Shared] = {}
    fits: dict[str, list[Fit]] = {}
    order = []
    peers_words = [view.words.lower_of(c.start, c.end) for c in listed]
    for place in places:
        source = place.source
        if source.passage_id not in shared:
            shared[source.passage_id] = _share(view, source, title, len(shared))
        facts = read_facts(source, place.candidate, labels)
        fit = _fit_place(view, place, shared[source.passage_id], facts, peers_words)
        fits.setdefault(place.candidate.text.casefold(), []).append(fit)
        order.append(fit)
    expected = labels.read_context(view.around)
    peers = [labels.read_candidate(c.kind, view.words.lower_of(c.start, c.end), view.around) for c in listed]
    of_text = {text: _measure_text(view, some, labels, [expected, *peers], title) for text, some in fits.items()}
    rows = [
        [*fit.values, *of_text[fit.place.candidate.text.casefold()], *KIND_CODES[fit.place.candidate.kind]]
        for fit in order
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(WEIGHTS))


def _share(view: MaskView, source: PassageFeatures, title: str, number: int) -> Shared:
    places = source.places
    terms = tuple(
        (term, tuple(places[term]), weight, view.wide[term], view.rarity(term) if term in view.sentence else 0.0)
        for term, weight in view.near.items()
        if term in places
    )
    named = source.title != title and source.title.lower() in view.words.text.lower()
    shared = sum(view.rarity(term) for term, *_ in terms) / view.terms_sum
    return Shared(terms, (float(source.title == title), float(named), shared, math.log1p(number)))


def _fit_place(
    view: MaskView, place: AnswerPlace, shared: Shared, facts: AnswerFacts, peers: Sequence[tuple[str, ...]]
) -> Fit:
    first, last, begin, end = facts.first, facts.last, facts.begin, facts.end
    near = wide = sentence = rare = same_side = 0.0
    for term, places, near_weight, wide_weight, rarity in shared.terms:
        if term in facts.own:
            continue
        distance, at = min((first - at, at) if at < first else (at - last + 1, at) for at in places)
        near += near_weight * math.exp(-distance / NEAR)
        wide += wide_weight * math.exp(-distance / WIDE)
        if rarity and begin <= at < end:
            sentence += rarity
            rare = max(rare, rarity)
            same_side += rarity * (term in (view.before_mask if at < first else view.after_mask))
    left = len(view.left) > 1 and view.left[:2] == facts.around.left[:2]
    right = len(view.right) > 1 and view.right[:2] == facts.around.right[:2]
    sums = (near / view.near_sum, near / RARITY_UNIT, wide / RARITY_UNIT, rare / RARITY_UNIT, float(left), float(right))
    beside = _compare_sides(view, facts.around)
    clues = _count_clues(view, place.source, facts)
    form = _compare_form(view, place, facts, peers)
    sides = same_side / sentence if sentence else 0.5
    return Fit(
        place,
        facts,
        (
            *sums,
            *beside,
            sentence / view.sentence_sum,
            *_compare(view, place, facts),
            *shared.values,
            *clues,
            sides,
            *form,
        ),
    )


def _count_clues(view: MaskView, source: PassageFeatures, facts: AnswerFacts) -> tuple[float, float, float]:
    """Return the features `clues` to `clued`: rare terms of the mask's sentence and title in the candidate's."""
    clues = len((facts.sentence - facts.own) & view.clues)
    titled = len(((facts.sentence | source.title_terms) - facts.own) & view.clues)
    return min(clues, 8.0), min(titled, 8.0), float(clues >= CLUES)


def _compare_form(
    view: MaskView, place: AnswerPlace, facts: AnswerFacts, peers: Sequence[tuple[str, ...]]
) -> tuple[float, ...]:
    """Return the features `right_one` to `peers`: the article, the place in an enumeration."""
    around = facts.around
    right_one = float(view.right[:1] == around.right[:1] != ())
    the = float((view.left_word == "the") == (around.left[:1] == ("the",)))
    vowel = place.candidate.text[:1].lower() in "aeiou"
    clash = float((view.left_word == "an" and not vowel) or (view.left_word == "a" and vowel))
    item = float(_is_item(view.around) == _is_item(around))
    words = place.source.words.lower
    beside = {*words[max(0, facts.first - BESIDE) : facts.first], *words[facts.last : facts.last + BESIDE]}
    return right_one, the, clash, item, float(sum(beside.issuperset(peer) for peer in peers))


def _is_item(around: Surroundings) -> bool:
    joints = around.left[:1] + around.right[:1]
    return "," in (around.before, around.after) or not JOINTS.isdisjoint(joints)


def _compare_sides(view: MaskView, around: Surroundings) -> tuple[float, float, float]:
    """Return the features `left_one` to `marked_after`."""
    left = view.left[:1] == around.left[:1] != ()
    return float(left), float(view.around.before == around.before), float(view.around.after == around.after)


def _compare(view: MaskView, place: AnswerPlace, facts: AnswerFacts) -> tuple[float, ...]:
    """Return the features `in_sentence` to `holds`: overlap of the sentence, position in it, and neighbours."""
    total = sum(map(view.rarity, sorted(facts.sentence))) or 1.0
    in_sentence = sum(map(view.rarity, sorted(facts.sentence & view.sentence))) / total
    in_text = sum(map(view.rarity, sorted(facts.sentence & view.near.keys()))) / total
    mine = (view.at - view.begin) / max(1, view.end - view.begin)
    shift = (facts.first - facts.begin) / max(1, facts.end - facts.begin) - mine
    gaps = _measure_gap(place, facts, view.left_term, -1), _measure_gap(place, facts, view.right_term, 1)
    pairs = len(facts.pairs & view.pairs)
    return in_sentence, in_text, shift, *gaps, min(pairs, 6.0), min(facts.inside, 4.0), min(facts.holds, 6.0)


def _measure_gap(place: AnswerPlace, facts: AnswerFacts, term: str, side: int) -> float:
    """Return the words to the nearest position of a term expected on one side (-1: left, 1: right), at most `FAR`."""
    nearest = FAR
    for at in place.source.places.get(term, ()):
        if not facts.first <= at < facts.last:
            before = at < facts.first
            distance = facts.first - at if before else at - facts.last + 1
            nearest = min(nearest, distance if before == (side < 0) else distance + OTHER_SIDE)
    return nearest / FAR


def _measure_text(
    view: MaskView, fits: Sequence[Fit], labels: LabelTable, expected: Sequence[np.ndarray], title: str
) -> list[float]:
    """Return the features `OF_TEXT`; `expected` are the labels of the mask and of its enumeration."""
    text, own = fits[0].place.candidate.text, fits[0].facts.own
    runs = [[_compare_run(view, fit, side) for fit in fits] for side in (-1, 1)]
    rarities = [min(view.rarity(term), view.rarest) for term in sorted(own)]
    passages = {fit.place.source.passage_id: fit.place.source.title == title for fit in fits}
    known = sum(term in view.near for term in own)
    label = sum((fit.facts.label for fit in fits[1:]), start=fits[0].facts.label) / len(fits)
    agreements = [labels.agreement(other, label) for other in expected]
    return [
        float(any(view.left_word == (fit.facts.around.left or "^")[0] for fit in fits)),
        float(any(view.right_word == (fit.facts.around.right or "$")[0] for fit in fits)),
        *map(max, runs),
        max(fit.values[0] for fit in fits),
        max(fit.values[SENTENCE] for fit in fits),
        float(all(map(_opens_sentence, fits))),
        float(any(fit.place.is_linked for fit in fits)),
        math.log1p(sum(passages.values())),
        math.log(len(passages)) * max(rarities, default=0.0) / RARITY_UNIT,
        known / max(1, len(own)),
        sum(rarities) / max(1, len(rarities)) / RARITY_UNIT,
        float(text.islower()),
        math.log(max(1, fits[0].facts.last - fits[0].facts.first)),
        math.log(len(text)),
        math.log(len(fits)),
        _measure_years(view, text),
        agreements[0],
        sum(agreements[1:]) / max(1, len(expected) - 1),
    ]


def _compare_run(view: MaskView, fit: Fit, side: int) -> float:
    """Return the weight of the equal words outwards (-1 to the left, 1 to the right) up to the first unequal one."""
    mine, here = view.words, fit.place.source.words
    at, to = (view.at - 1, fit.facts.first - 1) if side < 0 else (view.at, fit.facts.last)
    total = 0.0
    for _ in range(RUN):
        if not (0 <= at < len(mine.lower) and 0 <= to < len(here.lower)) or not _are_equal(mine, at, here, to):
            break
        total += view.rarity(mine.terms[at]) / RARITY_UNIT if mine.terms[at] else PLAIN
        at, to = at + side, to + side
    return total


def _are_equal(one: Words, at: int, other: Words, to: int) -> bool:
    return one.lower[at] == other.lower[to] or (one.terms[at] != "" and one.terms[at] == other.terms[to])


def _measure_years(view: MaskView, text: str) -> float:
    """Return the log of the distance to the nearest year in the masked text; -1 without a year in either."""
    year = YEAR.search(text)
    if year is None or not view.years:
        return -1.0
    return math.log1p(min(abs(int(year.group()) - other) for other in view.years))


def _opens_sentence(fit: Fit) -> bool:
    """Return whether its capital may come from opening a sentence: a single word at the start."""
    candidate, words = fit.place.candidate, fit.place.source.words
    single = fit.facts.first + 1 == fit.facts.last
    return single and candidate.text[0].isupper() and candidate.start in words.sentences


def share_belief(scores: np.ndarray, texts: Sequence[str]) -> dict[str, float]:
    """Return the softmax over places and a null of score 0, summed over the places of each text (case-folded)."""
    top = max(0.0, float(scores.max(initial=0.0)))
    weights = np.exp(scores - top)
    total = float(weights.sum()) + math.exp(-top)
    belief: dict[str, float] = {}
    for text, weight in zip(texts, weights.tolist(), strict=True):
        belief[text] = belief.get(text, 0.0) + weight / total
    return belief
