"""Selection of the examples that become rows, with their order and split.

Guarantees: the selection depends on the examples and the settings, not on their order or sharding; every example is
kept or left out for one reason; no page is in both splits. An example takes some tens of bytes of memory, whatever its
length.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.difficulty.learnable import ALWAYS, IMPOSSIBLE, MEMORISED, Learnable
from pipeline.exporting.simulator_tuning import choose_split
from schemas.difficulties import Difficulty
from schemas.exports import ExportSettings, Purpose, RowOrder, Split, TaskSelection, TrainingExample
from schemas.record import content_id
from schemas.tasks import SpanKind
from schemas.trajectories import HideMode

UNFIT, SHORTCUT, DUPLICATE = "unfit", "shortcut", "duplicate"
OVER_PAGE, OVER_KIND = "over_page_cap", "over_kind_cap"
REASONS = ("", UNFIT, SHORTCUT, DUPLICATE, OVER_PAGE, OVER_KIND, MEMORISED, IMPOSSIBLE, ALWAYS)
"""Reasons for leaving out an example, by code; `unfit` stands for a reason of the example's own."""
KINDS = tuple(SpanKind)
WITHHELD = (HideMode.NONE, HideMode.PASSAGE, HideMode.PAGE)
"""From nothing to all of a task's source."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Outcome of every example; examples are numbered in the order of appending."""

    splits: dict[Split, NDArray[np.int64]]
    """Rows of each split, in order."""
    codes: NDArray[np.uint8]
    """For each example its index in `REASONS`; 0 is a row."""


def rank_difficulty(
    mask_count: int, difficulty: float | None, measured: Difficulty | None = None
) -> tuple[int, float, float]:
    """Return the position in a curriculum: few masks first, then the most often solved, then the easiest.

    Unknown values come after known ones.
    """
    solved = measured.pass_rate if measured else None
    return mask_count, np.inf if solved is None else 1 - solved, np.inf if difficulty is None else difficulty


class ExampleIndex:
    """Facts of every example that the selection needs."""

    def __init__(self, settings: ExportSettings) -> None:
        self._settings = settings
        self._hashes = {name: array("Q") for name in ("page", "question", "transcript", "draw")}
        self._places = array("q")
        self._unsolved, self._difficulties = array("d"), array("d")
        self._learnable = Learnable(settings.max_closed_book, settings.learnable)
        self._unlearnable = array("B")
        self._masks, self._kinds, self._withheld = array("B"), array("B"), array("b")
        self._fit, self._accepted, self._apart, self._shortcuts = array("B"), array("B"), array("B"), array("B")

    def __len__(self) -> int:
        return len(self._places)

    def append(self, example: TrainingExample, place: int) -> None:
        """Add an example at an offset of the spill file."""
        question, transcript = example.question, example.transcript
        written = transcript.model_dump_json() if transcript else ""
        keys = {
            "page": example.document_id,
            "question": [question.lang, question.text],
            "transcript": [question.lang, question.text, written],
            "draw": [self._settings.seed, example.trajectory_id],
        }
        for name, key in keys.items():
            self._hashes[name].append(int(content_id(key)[:16], 16))
        self._places.append(place)
        masks, unsolved, difficulty = rank_difficulty(len(example.golds), example.difficulty, example.measured)
        self._unsolved.append(unsolved)
        self._difficulties.append(difficulty)
        self._unlearnable.append(REASONS.index(self._learnable.find_fault(example.measured) or ""))
        self._masks.append(masks)
        self._kinds.append(sum(1 << KINDS.index(kind) for kind in set(example.mask_kinds)))
        self._withheld.append(WITHHELD.index(example.hide))
        self._fit.append(transcript is not None)
        self._accepted.append(example.accepted)
        self._shortcuts.append(example.shortcut and not self._settings.shortcuts)
        self._apart.append(choose_split(example.document_id, self._settings.split) is Split.VALIDATION)

    def places(self, numbers: NDArray[np.int64]) -> list[int]:
        """Return the offsets of these examples."""
        return [self._places[number] for number in numbers]

    def choose(self, purpose: Purpose) -> Choice:
        """Decide on every example. Duplicates and caps are resolved in the order of the shuffle, whatever the order."""
        settings, codes = self._settings, np.zeros(len(self), np.uint8)
        drawn = np.lexsort((_view(self._hashes["transcript"]), _view(self._hashes["draw"])))
        prompts = purpose is Purpose.RL
        if not prompts or settings.tasks is TaskSelection.ACCEPTED:
            fit = _view(self._accepted if prompts else self._fit)
            codes[fit == 0] = REASONS.index(UNFIT)
        if not prompts:  # what the policy will be shown is up to its own search
            codes[(codes == 0) & (_view(self._shortcuts) == 1)] = REASONS.index(SHORTCUT)
        unlearnable = _view(self._unlearnable)
        # Demonstrations are useful also for tasks that are always solved.
        barred = unlearnable > 0 if prompts else unlearnable == REASONS.index(MEMORISED)
        codes = np.where((codes == 0) & barred, unlearnable, codes)
        left = drawn[codes[drawn] == 0]
        if prompts:  # a task is one prompt, told by the attempt from which most was withheld
            left = left[np.argsort(-_view(self._withheld)[left], kind="stable")]
        same = _view(self._hashes["question" if prompts else "transcript"])[left]
        first = np.zeros(len(left), bool)
        first[np.unique(same, return_index=True)[1]] = True
        codes[left[~first]] = REASONS.index(DUPLICATE)
        self._cap(drawn[codes[drawn] == 0], codes)
        ranked = drawn if settings.order is RowOrder.MIXED else self._grade(drawn)
        kept = ranked[codes[ranked] == 0]
        apart = _view(self._apart)[kept] == 1
        return Choice({Split.TRAIN: kept[~apart], Split.VALIDATION: kept[apart]}, codes)

    def _cap(self, left: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        settings = self._settings
        if settings.max_per_page is None and settings.max_per_kind is None:
            return
        pages: Counter[int] = Counter()
        kinds: Counter[int] = Counter()
        most_pages, most_kinds = settings.max_per_page or len(self), settings.max_per_kind or len(self)
        for number in left.tolist():
            page, masked = self._hashes["page"][number], self._kinds[number]
            bits = [bit for bit in range(len(KINDS)) if masked >> bit & 1]
            if pages[page] >= most_pages:
                codes[number] = REASONS.index(OVER_PAGE)
            elif any(kinds[bit] >= most_kinds for bit in bits):
                codes[number] = REASONS.index(OVER_KIND)
            else:
                pages[page] += 1
                kinds.update(bits)

    def _grade(self, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the curriculum order; the shuffle breaks ties."""
        keys = (self._difficulties, self._unsolved, self._masks)  # the last one counts most
        return drawn[np.lexsort([_view(key)[drawn] for key in keys])]


def _view(column: array[Any]) -> NDArray[Any]:
    return np.array(column)
