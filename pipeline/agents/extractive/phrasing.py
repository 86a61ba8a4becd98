"""Texts of the extractive agents: templates filled with facts, with a phrasing chosen by content.

Guarantees: equal facts in one trajectory have equal texts; every word comes from a template or from the passages shown;
outside text is inert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.agents.extractive.features import MaskView
from pipeline.search.engine import FoundPassage
from prompts.library import load_template, load_words
from schemas.documents import HOLE
from schemas.record import content_id

NAMES = "plan next lead no_lead found likely guess nothing empty close close_none words"
TEMPLATES = tuple(f"extractive_{name}" for name in NAMES.split())
BESIDE = 60  # characters quoted on each side


@dataclass(frozen=True, slots=True)
class AnswerFinding:
    """Answer with its offsets in the passage that it was read from."""

    answer: str
    passage: FoundPassage
    start: int
    end: int
    belief: float
    """Confidence, 0 to 1."""


class Wording:
    """Writer of the texts of one trajectory, in one language."""

    def __init__(self, lang: str, *identity: str | int) -> None:
        self._lang = lang
        self._identity = identity
        self._words = load_words("extractive_words", lang)

    def say(self, name: str, **fields: str) -> str:
        """Fill a template, in the phrasing that the content selects."""
        phrasing = int(content_id(name, fields, self._identity), 16)
        return load_template(f"extractive_{name}", self._lang).fill(phrasing, **fields)

    def quote_gap(self, view: MaskView) -> str:
        """Return the text around a mask, with a blank in its place."""
        text, at = view.words.text, view.offset
        begin, end = view.words.sentence_at(at)
        left = _cut_start(text, begin, at).replace(HOLE, self._words["blank"])
        right = _cut_end(text, at + len(HOLE), end).replace(HOLE, self._words["blank"])
        return _flatten(left + self._words["blank"] + right)

    def quote_finding(self, finding: AnswerFinding) -> str:
        """Return the text around an answer in its passage."""
        text, start, end = finding.passage.text, finding.start, finding.end
        return _flatten(_cut_start(text, 0, start) + text[start:end] + _cut_end(text, end, len(text)))

    def name_label(self, label: str | None) -> str:
        """Return the kind of the expected answer, in words."""
        return self._words[label or "unknown"]

    def name_place(self, section: Sequence[str]) -> str:
        """Return the section, in words; empty for the lead."""
        return self._words["section"].replace("{}", " / ".join(section)) if section else ""

    def hidden(self) -> str:
        """Return the word for a hidden span."""
        return self._words["hidden"]

    def list_answers(self, findings: dict[int, AnswerFinding], firm: float) -> str:
        """Return every answer with its number; one with less belief than `firm` is marked as a guess."""
        answers = []
        for mask, finding in sorted(findings.items()):
            before, middle, after = self._words["gap"].split("{}")
            text = f"{before}{mask + 1}{middle}{_flatten(finding.answer)}{after}"
            answers.append(text if finding.belief >= firm else self._words["unsure"].replace("{}", text))
        return (self._words["join"] + " ").join(answers)


def _cut_start(text: str, begin: int, at: int) -> str:
    """Return at most `BESIDE` characters before an offset, from a word's start where there are spaces."""
    piece = text[max(begin, at - BESIDE) : at]
    return piece.partition(" ")[2] if at - BESIDE > begin and " " in piece[:20] else piece


def _cut_end(text: str, at: int, end: int) -> str:
    """Return at most `BESIDE` characters after an offset, to a word's end where there are spaces."""
    piece = text[at : min(end, at + BESIDE)]
    return piece.rpartition(" ")[0] if at + BESIDE < end and " " in piece[-20:] else piece


def _flatten(text: str) -> str:
    return " ".join(text.split())
