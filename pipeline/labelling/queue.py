"""Masks to label: a sample of a run's tasks, whole tasks at a time.

Guarantees: the same run, seed and number give the same masks in the same order; the masks of a task follow each other,
as they are hidden together; a larger number only adds masks at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.labelling.lines import describe_fault
from schemas.mask_labels import MaskCodes, MaskLabel, name_mask
from schemas.passages import Passage
from schemas.record import content_id
from schemas.renderings import QuestionKind
from schemas.tasks import MASK, MaskTask, Span

Select = Callable[[str, Sequence[Any]], Sequence[dict[str, Any]]]
"""Runs one SELECT with parameters over views named as the datasets, and returns its rows by column."""

MOST_MASKS = 10_000
_RAMP = f"kind = '{QuestionKind.RAMP}'"
"""Imported questions have no passage."""
_SAMPLE = f"""
    SELECT task_id, list_transform(spans, lambda one: [one.start, one.end]) AS bounds FROM tasks WHERE {_RAMP}
    ORDER BY md5(concat(?, ' ', task_id)), task_id LIMIT ?::BIGINT
"""  # noqa: S608 - SQL of this module alone
_TASKS = f"SELECT * FROM tasks WHERE {_RAMP} AND task_id IN (SELECT unnest(?::VARCHAR[]))"  # noqa: S608 - the same
_PASSAGES = "SELECT * FROM passages WHERE passage_id IN (SELECT unnest(?::VARCHAR[]))"


@dataclass(frozen=True, slots=True)
class QueuedMask:
    """Mask to label, with its task."""

    task: MaskTask
    number: int
    """Counted from 0."""

    @property
    def span(self) -> Span:
        """What is hidden."""
        return self.task.spans[self.number]

    @property
    def name(self) -> str:
        """The mask's name."""
        return name_mask(self.task.task_id, self.span.start, self.span.end)

    @property
    def text(self) -> str:
        """The passage with all masks of the task hidden: `[?]` is the one to fill."""
        pieces = self.task.masked_text.split(MASK)
        return "".join(
            piece + ("" if number == len(pieces) - 1 else "[?]" if number == self.number else MASK)
            for number, piece in enumerate(pieces)
        )

    def label(self, codes: MaskCodes, rater: str, at: str) -> MaskLabel:
        """Return the label of a rater. Raises ConfigError where the codes do not fit the mask."""
        aliases = self.span.aliases
        if set(codes.alias_codes) != set(aliases):
            raise ConfigError(
                f"alias_codes of {self.name} must name exactly its {len(aliases)} aliases",
                f"code each of {', '.join(map(repr, aliases))}" if aliases else "leave alias_codes out",
            )
        task, span = self.task, self.span
        try:
            return MaskLabel.model_validate(
                {
                    **codes.model_dump(include=set(MaskCodes.model_fields)),
                    "task_id": task.task_id,
                    "passage_id": task.passage_id,
                    "document_id": task.document_id,
                    "page_id": task.page_id,
                    "lang": task.lang,
                    "title": task.title,
                    "start": span.start,
                    "end": span.end,
                    "passage_digest": content_id(task.fill([one.text for one in task.spans])),
                    "kind": span.kind,
                    "label": span.label,
                    "source": span.source,
                    "rater": rater,
                    "at": at,
                }
            )
        except ValidationError as error:
            raise ConfigError(
                f"{self.name}: {describe_fault(error)}", "give all four codes, and a rater's name"
            ) from None


def list_masks(select: Select, seed: int, count: int) -> list[str]:
    """Return the names of the masks of a sample, at most `count`."""
    rows = select(_SAMPLE, [str(seed), str(count)])  # every task has a mask
    return [name_mask(row["task_id"], *bounds) for row in rows for bounds in row["bounds"]][:count]


def read_masks(select: Select, names: Sequence[str]) -> Iterator[QueuedMask]:
    """Return the masks with these names in their order, without those that the run does not have."""
    masks = find_masks(select, names)
    return (masks[name] for name in names if name in masks)


def find_masks(select: Select, names: Iterable[str]) -> dict[str, QueuedMask]:
    """Return by name all masks of the tasks that are named, as far as the run has them."""
    rows = select(_TASKS, [sorted({name.rpartition(":")[0] for name in names})])
    tasks = [MaskTask.model_validate(row) for row in rows]
    masks = [QueuedMask(task, number) for task in tasks for number in range(task.mask_count)]
    return {mask.name: mask for mask in masks}


def read_passages(select: Select, passage_ids: Sequence[str]) -> list[Passage]:
    """Return the passages of a run that have these ids."""
    return [Passage.model_validate(row) for row in select(_PASSAGES, [list(passage_ids)])]
