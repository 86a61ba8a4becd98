"""Selection of tasks by measured difficulty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.difficulties import Difficulty

MEMORISED, IMPOSSIBLE, ALWAYS = "memorised", "impossible", "always_solved"
COUNTS = ("searched", "solved", "closed", "known")


@dataclass(frozen=True, slots=True)
class Learnable:
    """Criteria for tasks that are worth training on."""

    memorised: float | None = None
    """Maximum share of right closed-book attempts; a task above it is left out as `memorised`. None keeps all."""
    sometimes: bool = False
    """Whether a task is left out as `impossible` or `always_solved` unless attempts with search solve it sometimes."""

    def find_fault(self, difficulty: Difficulty | None) -> str | None:
        """Reason why a task is left out; None when it is kept. Unmeasured tasks are kept."""
        if difficulty is None:
            return None
        known, solved = difficulty.known_rate, difficulty.pass_rate
        if self.memorised is not None and known is not None and known > self.memorised:
            return MEMORISED
        if self.sometimes and solved == 0:
            return IMPOSSIBLE
        return ALWAYS if self.sometimes and solved == 1 else None


def index_difficulties(rows: Iterable[Difficulty]) -> dict[str, Difficulty]:
    """Index difficulties by task; for a task that was measured several times, in joined runs, return the total."""
    found: dict[str, Difficulty] = {}
    for row in rows:
        found[row.task_id] = _add(found[row.task_id], row) if row.task_id in found else row
    return found


def _add(one: Difficulty, other: Difficulty) -> Difficulty:
    return one.model_copy(update={name: getattr(one, name) + getattr(other, name) for name in COUNTS})
