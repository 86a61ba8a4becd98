"""What kind of thing a mask hides, and a candidate names, guessed from words alone.

A table of counts says how much oftener than by chance a word stands beside, or at an end of, a thing of each label.
Added up in the manner of naive Bayes, the words around a mask give a distribution over labels; the words around and
in a candidate give another; the two agree as far as they lie on the same labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from pipeline.agents.candidates import Kind

DAMPING = 0.7  # neighbouring words are not independent, so each counts for less than the whole


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a mask or a candidate."""

    left: tuple[str, ...]
    """Words to the left, nearest first."""
    right: tuple[str, ...]
    """Words to the right, nearest first."""
    before: str
    """`class_before`."""
    after: str
    """`class_after`."""


class LabelTable:
    """Log ratios P(label | word in a position) / P(label), by position and word."""

    def __init__(self, prior: dict[str, float], positions: dict[str, dict[str, dict[str, float]]]) -> None:
        """`prior` holds log P(label); positions are l2, l1, r1, r2, first, last (words),
        before, after (classes) and kind (`Kind`)."""
        self.labels = tuple(prior)
        self._prior = np.array([prior[label] for label in self.labels])
        self._rows = {
            position: {word: np.array([row.get(label, 0.0) for label in self.labels]) for word, row in words.items()}
            for position, words in positions.items()
        }
        self._none = np.zeros(len(self.labels))

    def read_context(self, around: Surroundings) -> np.ndarray:
        """P(label) given what stands around."""
        return _normalise(self._prior + DAMPING * self._sum_context(around))

    def read_candidate(self, kind: Kind, words: Sequence[str], around: Surroundings) -> np.ndarray:
        """P(label) of a stretch, given its form, its outer words and the words around it."""
        form = self._row("kind", kind.value) + DAMPING * (self._row("first", words[0]) + self._row("last", words[-1]))
        return _normalise(self._prior + form + DAMPING * self._sum_context(around) / 2)

    def agreement(self, one: np.ndarray, other: np.ndarray) -> float:
        """Log of how much oftener than by chance both are of one label."""
        return float(np.log((one * other * np.exp(-self._prior)).sum() + 1e-3)) if self.labels else 0.0

    def name_likely(self, distribution: np.ndarray, least: float) -> str | None:
        """The label with at least that probability, if there is one."""
        best = int(distribution.argmax()) if self.labels else 0
        return self.labels[best] if self.labels and distribution[best] >= least else None

    def _sum_context(self, around: Surroundings) -> np.ndarray:
        row, left, right = self._row, around.left, around.right
        near = row("l1", left[0] if left else "^") + row("r1", right[0] if right else "$")
        far = row("l2", left[1] if len(left) > 1 else "^") + row("r2", right[1] if len(right) > 1 else "$")
        total: np.ndarray = near + far / 2 + row("before", around.before) + row("after", around.after)
        return total

    def _row(self, position: str, word: str) -> np.ndarray:
        return self._rows.get(position, {}).get(word, self._none)


def _normalise(logs: np.ndarray) -> np.ndarray:
    if not len(logs):
        return logs
    weights: np.ndarray = np.exp(logs - logs.max())
    weights /= weights.sum()
    return weights


@cache
def load_labels(lang: str) -> LabelTable:
    """The table of a language; an empty one, which agrees with everything alike, where none was made."""
    path = Path(__file__).parent / f"labels.{lang.split('-')[0]}.json"
    if not path.is_file():
        return LabelTable({}, {})
    table = json.loads(path.read_text(encoding="utf-8"))
    return LabelTable(table.pop("prior"), table)
