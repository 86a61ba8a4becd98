"""Queries of the extractive agents, from narrow to broad.

A query consists of words of the task and of answers found so far, on one line, inert, and short enough for any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.agents.extractive.features import MaskView
from prompts.library import make_inert
from schemas.documents import HOLE

LONGEST = 600  # characters
RARE_NEAR = 8  # words from the context of a mask


def build_queries(
    view: MaskView, title: str, section: Sequence[str], turn: int, lead: str, count: int
) -> tuple[str, ...]:
    """Return `count` different queries for a mask in a turn (counted from 0); `lead` is a guess to check, or empty."""
    queries: dict[str, None] = {}
    for query in _propose(view, title, section, turn, lead):
        flat = make_inert(" ".join(query.replace(HOLE, " ").split()))[:LONGEST].strip()
        if flat:
            queries.setdefault(flat)
        if len(queries) == count:
            break
    return tuple(queries)


def _propose(view: MaskView, title: str, section: Sequence[str], turn: int, lead: str) -> Iterator[str]:
    words = view.words
    begin, end = words.sentence_at(view.offset)
    sentence = words.text[begin:end]
    window = _window(view, 8)
    near = " ".join(_pick_words(view, view.near))
    narrow = [sentence, f"{lead} {window}" if lead else window, f"{title} {sentence}"]
    broad = [words.text, f"{title} {lead} {' '.join(section)} {near}", f"{title} {near}"]
    around = [
        words.text[max(0, begin - 200) : begin] + f" {lead}",
        words.text[end : end + 200] + f" {lead}",
        f"{lead} {near}",
    ]
    order = (narrow, broad, around)
    for step in range(len(order)):
        yield from order[(turn + step) % len(order)]
    for size in range(2, 40):  # a text of few words needs further queries
        yield _window(view, size) + f" {title}"
    for number in range(1, 20):
        yield f"{title} {number}"


def _window(view: MaskView, size: int) -> str:
    """Return the words nearest to the mask, in order."""
    return " ".join((*reversed(view.left[:size]), *view.right[:size]))


def _pick_words(view: MaskView, weights: dict[str, float]) -> list[str]:
    """Return the terms around the mask with the largest weights, as words in order."""
    chosen = set(sorted(weights, key=lambda term: (-weights[term], term))[:RARE_NEAR])
    picked: dict[str, str] = {}
    for word, term in zip(view.words.lower, view.words.terms, strict=True):
        if term in chosen:
            picked.setdefault(term, word)
    return list(picked.values())
