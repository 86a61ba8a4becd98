"""Which stretches of the shown passages may answer a mask at all.

Left out is what cannot have been masked: a span is hidden only if it stands nowhere else in its passage and is no part
of the page's title, so nothing that the masked text or the title says is an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.agents.candidates import MAX_CHARS, Candidate, Kind
from pipeline.agents.scoring import MaskView, Place, Source

GAP_WORDS = 6  # words that a gap between a mask's neighbours may hold


def gather_places(view: MaskView, sources: Sequence[Source], title: str) -> list[Place]:
    """Every place in the sources that could be the answer: by its form, or by standing between like neighbours."""
    told = _spaced(view.words.lower)
    titled = _spaced(word.lower() for word in title.replace("(", " ").replace(")", " ").replace(",", " ").split())
    places = []
    for source in sources:
        known = {(c.start, c.end) for c in source.candidates}
        found = [Place(source, c) for c in source.candidates]
        found += [Place(source, c, gap=True) for c in _find_gaps(view, source) if (c.start, c.end) not in known]
        for place in found:
            first, last = source.words.span_words(place.candidate.start, place.candidate.end)
            words = _spaced(source.words.lower[first:last])
            if len(words) > 2 and words not in told and words not in titled:
                places.append(place)
    return places


def _spaced(words: Iterable[str]) -> str:
    return " " + " ".join(words) + " "


def _find_gaps(view: MaskView, source: Source) -> list[Candidate]:
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
                    gaps.append(Candidate(start, end, words.text[start:end], Kind.TERM))
                break
    return gaps
