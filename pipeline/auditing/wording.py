"""Measures of the agents' own words in accepted attempts: how many frames there are, and how varied they are.

Own words are thoughts and conclusions without what they quote. A frame is a sentence of them with names and numbers
taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.auditing.attempts import Query
from pipeline.passages.sentences import find_sentences
from pipeline.text.near_copies import WORD, cut_ngrams
from schemas.audit import Measure

MOST_ATTEMPTS = 1000
"""Accepted attempts that are read: those with the smallest ids."""
NGRAM = 4
QUOTED = re.compile(r'"[^"\n]*"|“[^”\n]*”|「[^」\n]*」|《[^》\n]*》|\d[\d.,]*|\b\w*[A-Z]\w*(?:\s+\w*[A-Z]\w*)+')
"""Quotations, numbers and names of several words."""

_TURNS = f"""
    SELECT list_transform(turns, lambda one: [one.think, one.conclusion]), final_think
    FROM trajectories SEMI JOIN (SELECT * FROM judgements WHERE accepted) USING (trajectory_id)
    ORDER BY trajectory_id LIMIT {MOST_ATTEMPTS}
"""  # noqa: S608 - SQL of this module alone


def measure_wording(query: Query) -> Iterator[Measure]:
    """Yield the share of distinct frames and of distinct 4-grams of words."""
    frames: list[str] = []
    for turns, final in query(_TURNS):
        texts = [text for turn in turns for text in turn] + [final]
        frames += [frame for text in texts for frame in _cut_frames(text)]
    ngrams = [ngram for frame in frames for ngram in cut_ngrams(WORD.findall(frame), NGRAM)]
    for name, found, about in (
        ("frames", frames, "distinct frames among the sentences that agents wrote in accepted attempts"),
        ("distinct_4grams", ngrams, "distinct 4-grams among those of these sentences, quotations taken out"),
    ):
        if found:
            yield Measure(name=name, part="", count=len(set[Any](found)), of=len(found), about=about)


def _cut_frames(text: str) -> Iterator[str]:
    plain = QUOTED.sub("_", text)
    for start, end in find_sentences(plain):
        if frame := plain[start:end].strip():
            yield frame
