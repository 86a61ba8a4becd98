"""Labelled masks: passages whose masks people coded, and how well the filters and the difficulty agree with them.

A file has one JSON object a line, gzipped or not: `title`, `section`, `text` and `masks`, each with its offsets, kind,
label and source, the codes `needs` (search, general_knowledge, given_away) and `unit` (good, bad), and optionally the
same codes under `second_rater`. A mask needs a search, or is a bad unit, where every rater says so.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.drafts import SpanAssessment
from schemas.audit import Measure
from schemas.passages import Passage
from schemas.record import content_id
from schemas.tasks import SpanKind, SpanSource

GZIP_MAGIC = b"\x1f\x8b"
FIGURES = (SpanKind.DATE, SpanKind.NUMBER)


class Codes(BaseModel):
    """What one rater said of a mask."""

    needs: Literal["search", "general_knowledge", "given_away"]
    """What one needs to fill it: a search, general knowledge, or only the task itself."""
    unit: Literal["good", "bad"]
    """Whether it is a whole, sensible unit."""


class LabelledMask(Codes):
    """Mask with the codes of one or two raters."""

    start: int
    end: int
    kind: SpanKind
    label: str
    source: SpanSource
    second_rater: Codes | None = None

    @property
    def raters(self) -> tuple[Codes, ...]:
        """The codes of every rater."""
        return (self,) if self.second_rater is None else (self, self.second_rater)

    def build(self) -> SpanCandidate:
        """Return it as a candidate, whose link is not known."""
        return SpanCandidate(self.start, self.end, self.kind, self.label, self.source)


class LabelledPassage(BaseModel):
    """Passage whose masks were coded, all hidden together."""

    title: str
    section: tuple[str, ...] = ()
    text: str
    lang: str = "en"
    masks: tuple[LabelledMask, ...]

    def build(self) -> Passage:
        """Return it as a passage of a corpus, without links."""
        return Passage(
            passage_id=content_id([self.title, self.text]), document_id=content_id(self.title), page_id=0,
            lang=self.lang, title=self.title, section=self.section, text=self.text, start=0, end=len(self.text),
            tokens=len(self.text.split()), links=(),
        )  # fmt: skip


Assess = Callable[[Sequence[tuple[Passage, Sequence[SpanCandidate]]]], Sequence[Sequence[SpanAssessment]]]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """Agreement with the labels."""

    measures: tuple[Measure, ...]
    auc: float | None
    """Probability that a mask that needs a search has the higher difficulty; None where all or none need one."""
    auc_names: float | None
    """The same among names and terms."""


def read_labels(path: Path) -> Iterator[LabelledPassage]:
    """Yield the passages of a file. Raises ConfigError for a line that is not one, OSError."""
    content = path.read_bytes()
    if content.startswith(GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ConfigError(f"{path} is damaged gzip: {error}", "name a whole file of labels") from None
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            labelled = LabelledPassage.model_validate_json(line)
            if not all(0 <= mask.start < mask.end <= len(labelled.text) for mask in labelled.masks):
                raise ValueError("a mask lies outside the text")
        except (ValidationError, ValueError) as error:
            fix = "pipeline/auditing/labels.py describes the form"
            raise ConfigError(f"{path}, line {number}: {error}", fix) from None
        yield labelled


def score_labels(passages: Sequence[LabelledPassage], assess: Assess) -> LabelScore:
    """Compare what is kept with the labels."""
    found = assess([(labelled.build(), [mask.build() for mask in labelled.masks]) for labelled in passages])
    rated = [
        pair
        for labelled, assessments in zip(passages, found, strict=True)
        for pair in zip(labelled.masks, assessments, strict=True)
    ]
    kept = [mask for mask, found in rated if found.reason is None]
    names = [(mask, found) for mask, found in rated if mask.kind not in FIGURES]
    return LabelScore(
        (
            _count("kept_share", kept, len(rated), "labelled masks that the filters keep"),
            _count("needs_search_share", filter(_needs_search, kept), len(kept), "kept masks that need a search"),
            _count("bad_units_kept", filter(_is_bad_unit, kept), len(kept), "kept masks with wrong bounds"),
        ),
        _measure_auc(rated),
        _measure_auc(names),
    )


def _count(name: str, masks: Iterable[LabelledMask], of: int, about: str) -> Measure:
    return Measure(name=name, part="labels", count=len(list(masks)), of=of, about=about)


def _needs_search(mask: LabelledMask) -> bool:
    return all(codes.needs == "search" for codes in mask.raters)


def _is_bad_unit(mask: LabelledMask) -> bool:
    return all(codes.unit == "bad" for codes in mask.raters)


def _measure_auc(rated: Sequence[tuple[LabelledMask, SpanAssessment]]) -> float | None:
    needing = [found.difficulty for mask, found in rated if _needs_search(mask)]
    others = [found.difficulty for mask, found in rated if not _needs_search(mask)]
    if not needing or not others:
        return None
    above = sum((one > other) + 0.5 * (one == other) for one in needing for other in others)
    return above / (len(needing) * len(others))
