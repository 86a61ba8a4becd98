"""Decontamination of an export: leaves out what overlaps benchmark questions, and describes the check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.decontamination.overlap import STAGE, Overlap, QuestionIndex, drop_overlapping, reject_overlap
from pipeline.evaluation.benchmarks import find_benchmark, read_benchmark
from pipeline.storage.run_folder import RunFolder
from pipeline.storage.shards import ShardWriter
from schemas.evaluations import DecontaminationConfig
from schemas.funnel import FunnelStep
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory

UNCHECKED = (
    "Checked against no benchmark: none was named (`--decontaminate FILE`, or `decontamination.benchmarks` of the "
    "configuration). Questions that models are evaluated on may be among what these rows teach."
)


@dataclass(frozen=True, slots=True)
class Screen:
    """Benchmark questions that the export must not overlap."""

    index: QuestionIndex
    names: tuple[str, ...]
    """Names of the benchmarks, with their digests."""

    def describe(self, dropped: int) -> str:
        """Describe the check and its result in a sentence or two."""
        return (
            f"Checked against {self.index.questions:,} questions of {', '.join(self.names)}: {dropped:,} trajectories "
            "are left out because their task hides an answer on a page, or beside a name, of a question, or shares "
            f"{self.index.ngram} tokens in a row with one."
        )


def keep_clean(screen: Screen | None, tasks: Iterable[MaskTask], dropped: Counter[str]) -> Iterator[MaskTask]:
    """Yield the tasks that may be trained on, and count the others by reason."""
    for row in tasks if screen is None else drop_overlapping(tasks, screen.index):
        if isinstance(row, MaskTask):
            yield row
        else:
            dropped[row.reason] += 1


def open_screen(config: DecontaminationConfig, cache: Path, more: Sequence[str] = ()) -> Screen | None:
    """Open the screen over the configured benchmarks and further ones; None without benchmarks. Raises ConfigError,
    SourceError.
    """
    found = [find_benchmark(name, cache / "benchmarks") for name in dict.fromkeys((*config.benchmarks, *more))]
    benchmarks = [read_benchmark(path) for path in found]
    if not benchmarks:
        return None
    questions = (question for benchmark in benchmarks for question in benchmark.questions)
    names = tuple(f"{benchmark.name} ({len(benchmark.questions):,}, {benchmark.digest})" for benchmark in benchmarks)
    return Screen(QuestionIndex(questions, config.ngram), names)


def open_run_screen(run: RunFolder, cache: Path, more: Sequence[str] = ()) -> Screen | None:
    """Open the screen of a run's own configuration, with further benchmarks."""
    record = run.find_record()
    # This section alone: a run of another version may have other keys elsewhere.
    config = DecontaminationConfig.model_validate(record.config.get("decontamination", {}) if record else {})
    return open_screen(config, cache, more)


class Screening:
    """Screen in use: exclusions are recorded and counted."""

    def __init__(self, screen: Screen | None, rejects: ShardWriter) -> None:
        self._screen = screen
        self._rejects = rejects
        self._entered = 0
        self._reasons: Counter[str] = Counter()
        self._last: tuple[str, Overlap | None] = ("", None)

    def admits(self, task: MaskTask, trajectory: Trajectory) -> bool:
        """Return whether a trajectory may be trained on; always true without a screen."""
        self._entered += 1
        if self._screen is None:
            return True
        index = self._screen.index
        if self._last[0] != task.task_id:  # attempts at one task are consecutive
            self._last = task.task_id, index.check_task(task)
        overlap = self._last[1] or index.check_trajectory(trajectory)
        if overlap is not None:
            self._reasons[overlap.reason] += 1
            reject = reject_overlap("trajectory", trajectory.trajectory_id, overlap)
            self._rejects.append(reject.model_dump(mode="json"))
        return overlap is None

    def funnel(self) -> tuple[FunnelStep, ...]:
        """Return the totals; none without a screen."""
        if self._screen is None:
            return ()
        rejected = dict(sorted(self._reasons.items()))
        passed = self._entered - self._reasons.total()
        step = FunnelStep(stage=STAGE, unit="trajectory", entered=self._entered, passed=passed, rejected=rejected)
        return (step,)

    def describe(self) -> str:
        """Describe the check, for the card."""
        return UNCHECKED if self._screen is None else self._screen.describe(self._reasons.total())
