"""Which stretches of the shown passages may answer a mask at all.

Left out is what cannot have been masked: a span is hidden only if it stands nowhere else in its passage and is no part
of the page's title, so nothing that the masked text or the title says is an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipeline.agents.extractive.candidates import MAX_CHARS, AnswerCandidate, CandidateKind, find_candidates
from pipeline.agents.extractive.features import AnswerPlace, MaskView, PassageFeatures
from pipeline.agents.extractive.words import Words
from schemas.documents import HOLE

LIST_JOINT = re.compile(r",|(?:, ?)?(?:and|or|&)|[、和与及]")
LONGEST_JOINT = 6  # characters between two things of a list
GAP_WORDS = 6  # words that a gap between a mask's neighbours may hold


def gather_places(view: MaskView, sources: Sequence[PassageFeatures], title: str) -> list[AnswerPlace]:
    """Every place in the sources that could be the answer: by its form, or by standing between like neighbours."""
    told = _spaced(_take_roots(view.words, 0, len(view.words.lower)))
    titled = _spaced(word.lower() for word in title.replace("(", " ").replace(")", " ").replace(",", " ").split())
    places = []
    for source in sources:
        known = {(c.start, c.end) for c in source.candidates}
        gaps = [c for c in _find_gaps(view, source) if (c.start, c.end) not in known]
        for candidate in (*source.candidates, *gaps):
            first, last = source.words.span_words(candidate.start, candidate.end)
            words = _spaced(source.words.lower[first:last])
            if first < last and words not in titled and _spaced(_take_roots(source.words, first, last)) not in told:
                places.append(AnswerPlace(source, candidate))
    return places


def find_listed(view: MaskView, lang: str) -> list[AnswerCandidate]:
    """Stretches of the masked text which only a comma or an "and" divides from the mask: things of its kind."""
    text, listed = view.words.text, []
    for candidate in find_candidates(text, lang):
        if HOLE in candidate.text:
            continue
        follows = candidate.start > view.offset
        start, end = (view.offset + len(HOLE), candidate.start) if follows else (candidate.end, view.offset)
        if end - start <= LONGEST_JOINT and LIST_JOINT.fullmatch(text[start:end].strip()):
            listed.append(candidate)
    return listed


def _take_roots(words: Words, first: int, last: int) -> list[str]:
    """The words' index terms, which inflections share; a stopword as it stands."""
    return [term or word for term, word in zip(words.terms[first:last], words.lower[first:last], strict=True)]


def _spaced(words: Iterable[str]) -> str:
    return " " + " ".join(words) + " "


def _find_gaps(view: MaskView, source: PassageFeatures) -> list[AnswerCandidate]:
    """Stretches with the mask's own neighbours on both sides: two words before and one after, or one and two."""
    if len(view.left) < 2 or len(view.right) < 2:
        return []
    words, gaps = source.words, []
    lower = words.lower
    for first in range(1, len(lower)):
        if lower[first - 1] != view.left[0]:
            continue
        for last in range(first + 1, min(first + GAP_WORDS, len(lower) - 1) + 1):
            if last < len(lower) and lower[last] == view.right[0]:
                before = first > 1 and lower[first - 2] == view.left[1]
                after = last + 1 < len(lower) and lower[last + 1] == view.right[1]
                start, end = words.starts[first], words.ends[last - 1]
                if (before or after) and end - start <= MAX_CHARS:
                    gaps.append(AnswerCandidate(start, end, words.text[start:end], CandidateKind.TERM))
                break
    return gaps
