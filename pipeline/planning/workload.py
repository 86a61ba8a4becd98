"""Workload of a configuration: tasks, attempts, turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.errors import ConfigError
from pipeline.masking.sampling import count_needed
from pipeline.planning.spread import Spread
from schemas.config import RunConfig
from schemas.plan import Means, Range, TurnCounts, Workload
from schemas.trajectories import HideMode


def plan_workload(config: RunConfig, means: Means, source_bytes: int | None) -> Workload:
    """The workload; `source_bytes`: size of the sources, None if unknown.

    Raises ConfigError when the number of tasks cannot be derived.
    """
    masking = config.masking
    tasks, known_from = _count_tasks(config, means, source_bytes)
    passages = 0
    if masking.extractor and masking.limit is None and means.harvest and means.harvest.tasks_per_passage:
        passages = round(tasks / means.harvest.tasks_per_passage)
    elif masking.extractor:
        passages = count_needed(tasks, masking.tasks_per_passage)
    return Workload(
        tasks=tasks,
        known_from=known_from,
        attempts=tasks * len(config.search.hide) * config.agents.attempts,
        turns=expect_turns(means, config.masking.mask_counts, config.search.hide, config.agents.max_turns),
        passages=passages,
    )


def _count_tasks(config: RunConfig, means: Means, source_bytes: int | None) -> tuple[int, str]:
    limit = config.masking.limit
    if limit is not None:
        return limit, "masking.limit; fewer where the sources do not give so many"
    harvest = means.harvest
    if harvest is None or not source_bytes or not harvest.source_bytes:
        raise ConfigError(
            "how many tasks this would make is not known: there is no limit, and the size of the sources says nothing",
            "rampforge plan --limit N",
        )
    passages = harvest.passages * source_bytes / harvest.source_bytes
    tasks = round(passages * harvest.tasks_per_passage * config.masking.tasks_per_passage)
    return tasks, (
        f"a guess from the size of the sources: {source_bytes / 1e6:,.0f} MB, about {passages:,.0f} passages, "
        f"{harvest.tasks_per_passage:.2f} tasks from each; sources of another kind or compression differ"
    )


def expect_turns(means: Means, masks: Sequence[int], hide: Sequence[HideMode], max_turns: int) -> Range:
    """Turns of an attempt, averaged over the hide modes and mask counts of a configuration."""
    cells = [cell for cell in means.turns if any(cell.attempts)]
    if not cells:
        return Range(low=1.0, mean=(1 + max_turns) / 2, high=max_turns)
    alike = {cell.masks for cell in cells} == set(masks) and {cell.hide for cell in cells} == set(hide)
    groups = [cells] if alike else [_find_like(cells, count, mode) for count in masks for mode in hide]
    total = Range(low=0, mean=0, high=0)
    for group in groups:
        total = total + _measure_turns(group, means, max_turns) * (1 / len(groups))
    return total


def _find_like(cells: Sequence[TurnCounts], masks: int, hide: HideMode) -> Sequence[TurnCounts]:
    """The measurements of one kind of attempt, or of the most similar ones."""
    same_hide = [cell for cell in cells if cell.hide in (hide, None)]
    same_masks = [cell for cell in cells if cell.masks in (masks, None)]
    both = [cell for cell in same_hide if cell in same_masks]
    return both or same_hide or same_masks or cells


def _measure_turns(cells: Iterable[TurnCounts], means: Means, max_turns: int) -> Range:
    spread, stopped, longest = Spread(), 0, 0
    for cell in cells:
        stopped += cell.stopped
        for turns, count in enumerate(cell.attempts):
            spread.add(min(turns, max_turns), count)
            longest = max(longest, turns if count else 0)
    if not means.measured:
        return Range(low=min(1.0, spread.mean), mean=spread.mean, high=max(spread.mean, float(max_turns)))
    found = spread.range()
    # Attempts that reached the limit of turns would have continued, at the worst to the new limit.
    more = max(0, max_turns - means.max_turns) * stopped / spread.count
    return Range(low=found.low, mean=found.mean, high=found.high + more)
