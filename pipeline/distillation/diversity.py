"""Diversity of a round's trajectories, and their drift from the round before.

The share of distinct n-grams falls with the length of a text, so it is averaged over blocks of equal length
(moving-average type-token ratio: Covington and McFall 2010). Words are the tokens of the metrics, so Chinese counts by
character. Memory grows by some bytes per trajectory, and with the vocabulary.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import read_rows
from pipeline.text.normalisation import fold_text
from schemas.config import StageName
from schemas.judgements import Judgement
from schemas.record import content_id
from schemas.rounds import DiversityFigures, NamedCount
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

BLOCK = 500
"""N-grams in one block."""


@dataclass(slots=True)
class DistinctBlocks:
    """Share of distinct n-grams, block by block; an incomplete block does not count."""

    size: int
    """Words in an n-gram."""
    _block: list[tuple[str, ...]] = field(default_factory=list)
    _shares: list[float] = field(default_factory=list)

    def add(self, words: Sequence[str]) -> None:
        """Add the n-grams of one text."""
        for at in range(len(words) - self.size + 1):
            self._block.append(tuple(words[at : at + self.size]))
            if len(self._block) == BLOCK:
                self._shares.append(len(set(self._block)) / BLOCK)
                self._block.clear()

    @property
    def mean(self) -> float | None:
        """Mean over all complete blocks; None without one."""
        return sum(self._shares) / len(self._shares) if self._shares else None


class DiversityCounter:
    """Diversity of attempts, added one by one."""

    def __init__(self) -> None:
        self._thoughts = {size: DistinctBlocks(size) for size in (1, 2, 3)}
        self._queries = DistinctBlocks(2)
        self._query_hashes, self._attempt_hashes = array("Q"), array("Q")
        self._searches: Counter[int] = Counter()
        self._turns: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        """Words in the thoughts of accepted attempts."""

    def add(self, trajectory: Trajectory, accepted: bool, kinds: Iterable[str]) -> None:
        """Add an attempt; `kinds`: the kinds of its task's spans."""
        thoughts = list_thoughts(trajectory)
        queries = [call.query for turn in trajectory.turns for call in turn.calls]
        answers = [answer.answer for answer in trajectory.answers]
        self._attempt_hashes.append(_hash(thoughts, queries, answers))
        self._searches[len(queries)] += 1
        self._turns[len(trajectory.turns)] += 1
        if not accepted:
            return
        self._kinds.update(kinds)
        for thought in thoughts:
            words = fold_text(thought).split()
            self.words.update(words)
            for blocks in self._thoughts.values():
                blocks.add(words)
        for query in map(fold_text, queries):
            self._query_hashes.append(_hash(query))
            self._queries.add(query.split())

    def describe(self, before: Mapping[str, int] | None) -> DiversityFigures:
        """The figures; `before`: words of the round before, None for the first."""
        return DiversityFigures(
            distinct_1=self._thoughts[1].mean,
            distinct_2=self._thoughts[2].mean,
            distinct_3=self._thoughts[3].mean,
            query_distinct_2=self._queries.mean,
            queries_distinct=_share_distinct(self._query_hashes),
            duplicates=None if (share := _share_distinct(self._attempt_hashes)) is None else 1 - share,
            drift=measure_divergence(before, self.words) if before and self.words else None,
            searches=list_counts(self._searches),
            turns=list_counts(self._turns),
            kinds=list_counts(self._kinds),
        )


def measure_diversity(run: RunFolder) -> DiversityCounter:
    """Count the judged attempts of a run; none of a run before judging."""
    counter = DiversityCounter()
    if run.find_manifest(StageName.JUDGEMENTS) is None:
        return counter
    for trajectory, judgement, task in read_judged(run):
        counter.add(trajectory, judgement.accepted, [span.kind for span in task.spans])
    return counter


def read_judged(run: RunFolder) -> Iterator[tuple[Trajectory, Judgement, MaskTask]]:
    """Judged attempts of a run with judgement and task, a shard at a time."""
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        name = shard.shard
        tasks = {task.task_id: task for task in read_rows(run.part(MaskTask.dataset, name, ""), MaskTask)}
        judged = {row.trajectory_id: row for row in read_rows(run.part(Judgement.dataset, name, ""), Judgement)}
        for trajectory in read_rows(run.part(Trajectory.dataset, name, ""), Trajectory):
            if judgement := judged.get(trajectory.trajectory_id):
                yield trajectory, judgement, tasks[trajectory.task_id]


def list_thoughts(trajectory: Trajectory) -> list[str]:
    """Thoughts and conclusions, in order."""
    texts = [text for turn in trajectory.turns for text in (turn.think, turn.conclusion)]
    return [text for text in (*texts, trajectory.final_think) if text.strip()]


def measure_divergence(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon divergence of two non-empty bags of words, in bits: 0 for equal shares, 1 without common words."""
    whole, rest = sum(one.values()), sum(other.values())
    total = 0.0
    for word in sorted({*one, *other}):
        p, q = one.get(word, 0) / whole, other.get(word, 0) / rest
        middle = (p + q) / 2
        total += sum(share * math.log2(share / middle) for share in (p, q) if share) / 2
    return min(max(total, 0.0), 1.0)


def list_counts(counts: Mapping[int, int] | Mapping[str, int]) -> tuple[NamedCount, ...]:
    """Counts sorted by name."""
    ordered = sorted(counts.items(), key=lambda item: item[0])
    return tuple(NamedCount(name=str(name), count=count) for name, count in ordered)


def _hash(*parts: object) -> int:
    return int(content_id(*parts)[:16], 16)


def _share_distinct(hashes: array[int]) -> float | None:
    return len(set(hashes)) / len(hashes) if hashes else None
