"""Labelled passages: passages whose masks one or two readers coded, with their text.

A file has one JSON object a line, gzipped or not: `title`, `section`, `text` and `masks`, each with its offsets, kind,
label and source, the codes of `schemas.mask_labels`, of which `needs` and `unit` are required, and optionally the same
codes under `second_rater`. Labels without text (`schemas.mask_labels.MaskLabel`) become such passages once a corpus
gives the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from pipeline.errors import ConfigError
from pipeline.labelling.lines import parse_line, read_lines
from pipeline.labelling.store import read_mask_labels
from pipeline.masking.candidates import SpanCandidate
from schemas.mask_labels import MaskCodes, MaskLabel
from schemas.passages import Passage
from schemas.record import content_id
from schemas.tasks import SpanKind, SpanSource

FORM = "pipeline/labelling/labelled_passages.py describes the form"
CODES = set(MaskCodes.model_fields)
AT_ONCE = 1000
"""Passages that are looked up in one go."""

FindPassages = Callable[[Sequence[str]], Iterable[Passage]]
"""Returns those of the passages with these ids that a corpus has."""


class RaterCodes(MaskCodes):
    """Codes of one rater in a file that may hold more about the mask."""

    model_config = ConfigDict(extra="ignore")


class LabelledMask(RaterCodes):
    """Mask with the codes of one or two raters."""

    start: int
    """Offset of the first character in the text."""
    end: int
    """Offset just past the last character in the text."""
    text: str = ""
    """What is hidden, for readers."""
    kind: SpanKind
    """Kind of the span."""
    label: str
    """Finer kind, as given by its source."""
    source: SpanSource
    """Source of the span."""
    second_rater: RaterCodes | None = None
    """Codes of the second rater."""

    @property
    def raters(self) -> tuple[MaskCodes, ...]:
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

    @model_validator(mode="after")
    def _holds_its_masks(self) -> Self:
        if not all(0 <= mask.start < mask.end <= len(self.text) for mask in self.masks):
            raise ValueError("a mask lies outside the text")
        return self

    @property
    def key(self) -> str:
        """Return what tells it from other labelled passages."""
        return content_id(self.title, self.text, [(mask.start, mask.end) for mask in self.masks])

    def build(self) -> Passage:
        """Return it as a passage of a corpus, without links."""
        return Passage(
            passage_id=content_id([self.title, self.text]), document_id=content_id(self.title), page_id=0,
            lang=self.lang, title=self.title, section=self.section, text=self.text, start=0, end=len(self.text),
            tokens=len(self.text.split()), links=(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class JoinedLabels:
    """Labels with the passages they are of."""

    passages: tuple[LabelledPassage, ...]
    lost: int = 0
    """Labels of passages that the corpus does not hold as they were read."""


def read_labels(path: Path, find: FindPassages) -> JoinedLabels:
    """Return the passages of a file of either form; `find` gives the text of labels without it.

    Raises ConfigError for a line of neither form, and where no label fits the corpus; StorageError.
    """
    if not _lacks_text(next((line for _, line in read_lines(path)), b"")):
        return JoinedLabels(tuple(read_passages(path)))
    joined = join_labels(read_mask_labels(path), find)
    if not joined.passages:
        fix = "name a run over the same sources; `rampforge labels export --text` writes labels that need none"
        raise ConfigError(f"{path}: the run holds none of the passages that were labelled", fix)
    return joined


def _lacks_text(line: bytes) -> bool:
    try:
        row = json.loads(line)
    except ValueError:
        return False
    return isinstance(row, dict) and "passage_digest" in row


def read_passages(path: Path) -> Iterator[LabelledPassage]:
    """Yield the passages of a file that has their text. Raises ConfigError for a line that is not one, StorageError."""
    for number, line in read_lines(path):
        yield parse_line(path, number, line, LabelledPassage, FORM)


def join_labels(labels: Iterable[MaskLabel], find: FindPassages) -> JoinedLabels:
    """Join labels with their passages, by task in the order of the labels. Raises ConfigError for three raters."""
    tasks: dict[str, list[MaskLabel]] = {}
    for label in labels:
        tasks.setdefault(label.task_id, []).append(label)
    if len(raters := sorted({one.rater for of_task in tasks.values() for one in of_task})) > 2:
        raise ConfigError(f"labels of {len(raters)} raters: {', '.join(raters)}", "choose two: --rater A --rater B")
    joined, lost, remaining = list[LabelledPassage](), 0, iter(tasks.values())
    while batch := list(islice(remaining, AT_ONCE)):
        found = {one.passage_id: one for one in find(sorted({of_task[0].passage_id for of_task in batch}))}
        for of_task in batch:
            passage = found.get(of_task[0].passage_id)
            if passage is None or content_id(passage.text) != of_task[0].passage_digest:
                lost += len(of_task)
            else:
                joined.append(_join_task(passage, of_task))
    return JoinedLabels(tuple(joined), lost)


def _join_task(passage: Passage, labels: Sequence[MaskLabel]) -> LabelledPassage:
    masks: dict[tuple[int, int], list[MaskLabel]] = {}
    for label in sorted(labels, key=lambda one: (one.start, one.end, one.rater)):
        masks.setdefault((label.start, label.end), []).append(label)
    return LabelledPassage(
        title=passage.title,
        section=passage.section,
        text=passage.text,
        lang=passage.lang,
        masks=tuple(_join_raters(passage.text, of_mask) for of_mask in masks.values()),
    )


def _join_raters(text: str, labels: Sequence[MaskLabel]) -> LabelledMask:
    first, *others = labels
    values: Mapping[str, object] = first.model_dump(include=CODES | {"start", "end", "kind", "label", "source"})
    second = others[0].model_dump(include=CODES) if others else None
    return LabelledMask.model_validate({**values, "text": text[first.start : first.end], "second_rater": second})
