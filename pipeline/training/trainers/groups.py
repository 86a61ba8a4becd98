"""Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2), which TRL lacks: groups that teach nothing are replaced.

A group whose completions all earn the same has no advantage anywhere. It is replaced, inside the rollout, by the group
of another task, again and again until every group of the batch teaches or a bound is reached; what then still teaches
nothing stays, with advantage 0. Rewards are compared without the penalty on length: a group of wrong answers of
different lengths would teach only to be brief.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.rollouts.search_rollout import Completion, Task

Draw = Callable[[list[Task]], list[Completion]]
"""Function that samples and scores one completion for each given task."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Groups of one step."""

    completions: list[Completion]
    """Completions, group after group."""
    drawn: int
    """Number of sampled groups."""
    dull: int
    """Number of groups in the batch without a signal."""


class TaskPool:
    """Source of replacement tasks."""

    def __init__(self, tasks: Sequence[Task], graded: bool) -> None:
        """`graded`: a task is replaced by one with as many masks, which keeps the curriculum."""
        self._graded = graded
        self._alike: dict[int, list[Task]] = defaultdict(list)
        for task in tasks:
            self._alike[self._grade(task)].append(task)

    def replace(self, task: Task, taken: set[str], chance: random.Random) -> Task | None:
        """Return another task that is not in use; None when there is none."""
        free = [other for other in self._alike[self._grade(task)] if other.task_id not in taken]
        return chance.choice(free) if free else None

    def _grade(self, task: Task) -> int:
        return task.mask_count if self._graded else 0


def fill_batch(
    tasks: Sequence[Task], size: int, draw: Draw, pool: TaskPool, rounds: int, chance: random.Random
) -> Batch:
    """Sample `size` completions for each task, and replace groups without a signal, at most `rounds` times."""
    groups = _draw_groups(tasks, size, draw)
    drawn = len(groups)
    taken = {task.task_id for task in tasks}
    for _ in range(rounds):
        fresh: dict[int, Task] = {}
        for place, group in enumerate(groups):
            other = pool.replace(group[0].task, taken, chance) if is_dull(group) else None
            if other is not None:
                fresh[place] = other
                taken.add(other.task_id)
        if not fresh:
            break
        drawn += len(fresh)
        for place, group in zip(fresh, _draw_groups(list(fresh.values()), size, draw), strict=True):
            if not is_dull(group):
                groups[place] = group
    flat = [one for group in groups for one in group]
    return Batch(flat, drawn, sum(map(is_dull, groups)))


def is_dull(group: Sequence[Completion]) -> bool:
    """Return whether all scored completions of a group have the same reward."""
    return len({one.reward for one in group if one.reward is not None}) < 2


def _draw_groups(tasks: Sequence[Task], size: int, draw: Draw) -> list[list[Completion]]:
    flat = draw([task for task in tasks for _ in range(size)])
    return [flat[start : start + size] for start in range(0, len(flat), size)]
