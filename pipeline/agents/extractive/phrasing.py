"""What the extractive agents say: facts put into template texts, with a phrasing chosen by content.

Promises: the same facts in the same trajectory are always said in the same way; every word comes from a template or
from what was shown; outside text is inert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.agents.extractive.features import MaskView
from pipeline.search.engine import FoundPassage
from prompts.library import load_template, load_words
from schemas.documents import HOLE
from schemas.record import content_id
from schemas.trajectories import PromptUse

NAMES = (
    "plan",
    "next",
    "lead",
    "no_lead",
    "found",
    "likely",
    "guess",
    "nothing",
    "empty",
    "close",
    "close_none",
    "words",
)
TEMPLATES = tuple(f"extractive_{name}" for name in NAMES)
BESIDE = 60  # characters quoted to each side


@dataclass(frozen=True, slots=True)
class AnswerFinding:
    """An answer and where it was read."""

    answer: str
    """The answer."""
    passage: FoundPassage
    """The passage."""
    start: int
    """Offset of the answer in the passage."""
    end: int
    """Offset just past it."""
    belief: float
    """How sure, 0 to 1."""


def list_prompts(lang: str) -> tuple[PromptUse, ...]:
    """The templates that the texts are made from."""
    templates = (load_template(name, lang) for name in TEMPLATES)
    return tuple(PromptUse(name=template.name, digest=template.digest) for template in templates)


class Wording:
    """Says things in one language, for one trajectory."""

    def __init__(self, lang: str, *identity: str | int) -> None:
        self._lang = lang
        self._identity = identity
        self._words = load_words("extractive_words", lang)

    def say(self, name: str, **fields: str) -> str:
        """Fill a template with the phrasing that the content chooses."""
        phrasing = int(content_id(name, fields, self._identity), 16)
        return load_template(f"extractive_{name}", self._lang).fill(phrasing, **fields)

    def quote_gap(self, view: MaskView) -> str:
        """The words around a mask, with a blank in its place."""
        text, at = view.words.text, view.offset
        begin, end = view.words.sentence_at(at)
        left = _cut_start(text, begin, at).replace(HOLE, self._words["blank"])
        right = _cut_end(text, at + len(HOLE), end).replace(HOLE, self._words["blank"])
        return _flatten(left + self._words["blank"] + right)

    def quote_finding(self, finding: AnswerFinding) -> str:
        """The words around an answer in its passage."""
        text, start, end = finding.passage.text, finding.start, finding.end
        return _flatten(_cut_start(text, 0, start) + text[start:end] + _cut_end(text, end, len(text)))

    def name_label(self, label: str | None) -> str:
        """What kind of thing is sought, in words."""
        return self._words[label or "unknown"]

    def name_place(self, section: Sequence[str]) -> str:
        """The section, in words; empty for the lead."""
        return self._words["section"].replace("{}", " / ".join(section)) if section else ""

    def hidden(self) -> str:
        """The word for what was done to the spans."""
        return self._words["hidden"]

    def list_answers(self, findings: dict[int, AnswerFinding], firm: float) -> str:
        """Every answer with its number; one believed less than `firm` is called a guess."""
        answers = []
        for mask, finding in sorted(findings.items()):
            before, middle, after = self._words["gap"].split("{}")
            said = f"{before}{mask + 1}{middle}{_flatten(finding.answer)}{after}"
            answers.append(said if finding.belief >= firm else self._words["unsure"].replace("{}", said))
        return (self._words["join"] + " ").join(answers)


def _cut_start(text: str, begin: int, at: int) -> str:
    """What stands before an offset, `BESIDE` characters of it at most, from a word's start where there are spaces."""
    piece = text[max(begin, at - BESIDE) : at]
    return piece.partition(" ")[2] if at - BESIDE > begin and " " in piece[:20] else piece


def _cut_end(text: str, at: int, end: int) -> str:
    """What stands after an offset, `BESIDE` characters of it at most, to a word's end where there are spaces."""
    piece = text[at : min(end, at + BESIDE)]
    return piece.rpartition(" ")[0] if at + BESIDE < end and " " in piece[-20:] else piece


def _flatten(text: str) -> str:
    return " ".join(text.split())
