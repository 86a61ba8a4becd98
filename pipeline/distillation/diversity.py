"""How varied the trajectories of a round are, and how far they drifted from those of the round before.

A share of distinct n-grams falls with the length of the text alone, so it is taken over blocks of equal length and
averaged (moving-average type-token ratio: Covington and McFall 2010). Words are those that the metrics compare, so
Chinese counts by character. Memory grows by some bytes a trajectory, and with the vocabulary.
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
    """The share of distinct n-grams, block by block; a block that is not full says nothing."""

    size: int
    """Words in an n-gram."""
    _block: list[tuple[str, ...]] = field(default_factory=list)
    _shares: list[float] = field(default_factory=list)

    def add(self, words: Sequence[str]) -> None:
        """Take in the n-grams of one text."""
        for at in range(len(words) - self.size + 1):
            self._block.append(tuple(words[at : at + self.size]))
            if len(self._block) == BLOCK:
                self._shares.append(len(set(self._block)) / BLOCK)
                self._block.clear()

    @property
    def mean(self) -> float | None:
        """Over all full blocks; None when there is none."""
        return sum(self._shares) / len(self._shares) if self._shares else None


class DiversityGauge:
    """Takes in the attempts of a round, one by one."""

    def __init__(self) -> None:
        self._thoughts = {size: DistinctBlocks(size) for size in (1, 2, 3)}
        self._queries = DistinctBlocks(2)
        self._wordings, self._attempts = array("Q"), array("Q")
        self._searches: Counter[int] = Counter()
        self._turns: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        """Words of the thoughts of accepted attempts."""

    def add(self, trajectory: Trajectory, accepted: bool, kinds: Iterable[str]) -> None:
        """Take in an attempt; `kinds`: what each mask of its task names."""
        thoughts = list_thoughts(trajectory)
        queries = [call.query for turn in trajectory.turns for call in turn.calls]
        answers = [answer.answer for answer in trajectory.answers]
        self._attempts.append(_hash(thoughts, queries, answers))
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
            self._wordings.append(_hash(query))
            self._queries.add(query.split())

    def describe(self, before: Mapping[str, int] | None) -> DiversityFigures:
        """The figures; `before`: words of the round before, None where there was none."""
        return DiversityFigures(
            distinct_1=self._thoughts[1].mean,
            distinct_2=self._thoughts[2].mean,
            distinct_3=self._thoughts[3].mean,
            query_distinct_2=self._queries.mean,
            queries_distinct=_share_distinct(self._wordings),
            duplicates=None if (share := _share_distinct(self._attempts)) is None else 1 - share,
            drift=measure_divergence(before, self.words) if before and self.words else None,
            searches=list_counts(self._searches),
            turns=list_counts(self._turns),
            kinds=list_counts(self._kinds),
        )


def gauge_run(run: RunFolder) -> DiversityGauge:
    """Take in every judged attempt of a run; one that is not judged has none."""
    gauge = DiversityGauge()
    if run.find_manifest(StageName.JUDGEMENTS) is None:
        return gauge
    for trajectory, judgement, task in read_judged(run):
        gauge.add(trajectory, judgement.accepted, [span.kind for span in task.spans])
    return gauge


def read_judged(run: RunFolder) -> Iterator[tuple[Trajectory, Judgement, MaskTask]]:
    """Every judged attempt of a run with its judgement and its task, a shard at a time."""
    for shard in run.manifest(StageName.JUDGEMENTS).shards:
        name = shard.shard
        tasks = {task.task_id: task for task in read_rows(run.part(MaskTask.dataset, name, ""), MaskTask)}
        judged = {row.trajectory_id: row for row in read_rows(run.part(Judgement.dataset, name, ""), Judgement)}
        for trajectory in read_rows(run.part(Trajectory.dataset, name, ""), Trajectory):
            if judgement := judged.get(trajectory.trajectory_id):
                yield trajectory, judgement, tasks[trajectory.task_id]


def list_thoughts(trajectory: Trajectory) -> list[str]:
    """All that was thought, in order."""
    texts = [text for turn in trajectory.turns for text in (turn.think, turn.conclusion)]
    return [text for text in (*texts, trajectory.final_think) if text.strip()]


def measure_divergence(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    """Jensen-Shannon divergence of two bags of words in bits: 0 for equal shares, 1 when they have no word in common.

    Neither bag may be empty.
    """
    whole, rest = sum(one.values()), sum(other.values())
    total = 0.0
    for word in sorted({*one, *other}):
        p, q = one.get(word, 0) / whole, other.get(word, 0) / rest
        middle = (p + q) / 2
        total += sum(share * math.log2(share / middle) for share in (p, q) if share) / 2
    return min(max(total, 0.0), 1.0)


def list_counts(counts: Mapping[int, int] | Mapping[str, int]) -> tuple[NamedCount, ...]:
    """Counts in the order of their names."""
    ordered = sorted(counts.items(), key=lambda item: item[0])
    return tuple(NamedCount(name=str(name), count=count) for name, count in ordered)


def _hash(*parts: object) -> int:
    return int(content_id(*parts)[:16], 16)


def _share_distinct(hashes: array[int]) -> float | None:
    return len(set(hashes)) / len(hashes) if hashes else None
