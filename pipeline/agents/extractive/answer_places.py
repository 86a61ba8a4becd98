"""Selection of the stretches of the shown passages that may answer a mask.

Stretches that cannot have been masked are omitted: a span is hidden only if it occurs nowhere else in its passage and
is not part of the page's title, so that text of the masked passage or of the title is not an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pipeline.agents.extractive.candidates import MAX_CHARS, AnswerCandidate, CandidateKind, find_candidates
from pipeline.agents.extractive.features import AnswerPlace, MaskView, PassageFeatures
from pipeline.agents.extractive.words import Words
from schemas.documents import HOLE

LIST_JOINT = re.compile(r",|(?:, ?)?(?:and|or|&)|[、和与及]")
LONGEST_JOINT = 6  # maximum characters between two items of an enumeration
LEAST_CLUES = 2  # rare terms that a sentence shares with the mask's, whose plain words may be answers
SHORTEST_TERM = 4  # characters
GAP_WORDS = 6  # maximum words between a mask's neighbours


def gather_places(view: MaskView, sources: Sequence[PassageFeatures], title: str) -> list[AnswerPlace]:
    """Return every place in the sources that may be the answer: by its form, or between equal neighbours."""
    masked = _spaced(_take_roots(view.words, 0, len(view.words.lower)))
    titled = _spaced(word.lower() for word in title.replace("(", " ").replace(")", " ").replace(",", " ").split())
    places = []
    for source in sources:
        known = {(c.start, c.end) for c in source.candidates}
        more = {(c.start, c.end): c for c in (*_find_gaps(view, source), *_find_terms(view, source))}
        more = {span: candidate for span, candidate in more.items() if span not in known}
        for candidate in (*source.candidates, *more.values()):
            first, last = source.words.span_words(candidate.start, candidate.end)
            words = _spaced(source.words.lower[first:last])
            if first < last and words not in titled and _spaced(_take_roots(source.words, first, last)) not in masked:
                places.append(AnswerPlace(source, candidate))
    return places


def find_listed(view: MaskView, lang: str) -> list[AnswerCandidate]:
    """Return the items of the masked text that only a comma or an "and" separates from the mask: things of its kind."""
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
    """Return the words' index terms, which are equal for all inflections; a stopword is unchanged."""
    return [term or word for term, word in zip(words.terms[first:last], words.lower[first:last], strict=True)]


def _spaced(words: Iterable[str]) -> str:
    return " " + " ".join(words) + " "


def _find_gaps(view: MaskView, source: PassageFeatures) -> list[AnswerCandidate]:
    """Return stretches with the mask's neighbours on both sides: two words before and one after, or one and two."""
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


def _find_terms(view: MaskView, source: PassageFeatures) -> Iterator[AnswerCandidate]:
    """Yield the words in lower case, and pairs of them, of the sentences that share `LEAST_CLUES` with the mask's."""
    words = source.words
    for begin, end, terms in source.sentences:
        if len(terms & view.clues) < LEAST_CLUES:
            continue
        for at in range(begin, end):
            if not _is_plain(words, at):
                continue
            start = words.starts[at]
            yield AnswerCandidate(start, words.ends[at], words.text[start : words.ends[at]], CandidateKind.TERM)
            if at + 1 < end and _is_plain(words, at + 1) and words.starts[at + 1] == words.ends[at] + 1:
                stop = words.ends[at + 1]
                yield AnswerCandidate(start, stop, words.text[start:stop], CandidateKind.TERM)


def _is_plain(words: Words, at: int) -> bool:
    word = words.text[words.starts[at] : words.ends[at]]
    return len(word) >= SHORTEST_TERM and words.terms[at] != "" and word.isascii() and word.isalpha() and word.islower()
