"""What a report is made from: sums, and a few records in full. Everything here is small, however large the run."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.charts.bars import Histogram
from pipeline.report.leaks import LeakRate
from schemas.judgements import Judgement, SimulatedEvidence
from schemas.ledger import RunRecord
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How attempts with one hide mode and mask count ended."""

    hide: str
    """What of the source was withheld from the search."""
    masks: int
    """How many masks; 0 for the sum over all counts."""
    attempts: int
    """How many trajectories were judged."""
    accepted: int
    """How many were accepted."""
    seen: int
    """How many were shown a passage that holds each gold answer."""
    accepted_seen: int
    """How many of those were accepted."""
    source_shown: int
    """How many were shown a passage of the task's own page."""


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """How much of a dataset lies on disk."""

    name: str
    """The dataset."""
    rows: int
    """Rows in all shards."""
    shards: int
    """How many files."""
    bytes: int
    """Their size."""


@dataclass(frozen=True, slots=True)
class ReportExample:
    """One trajectory with what it attempted and how it was judged."""

    task: MaskTask
    trajectory: Trajectory
    judgement: Judgement | None
    """None for one that nobody has judged yet."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report shows."""

    record: RunRecord
    """run.json: configuration, versions, funnel, timings."""
    datasets: tuple[DatasetSize, ...]
    """What lies on disk."""
    histograms: tuple[Histogram, ...]
    """Distributions, in the order they are shown."""
    acceptance: tuple[Acceptance, ...]
    """One row for each hide mode and mask count, and one for the sum of each hide mode."""
    examples: tuple[ReportExample, ...]
    """Trajectories to read, accepted and rejected."""
    simulated: SimulatedEvidence | None = None
    """What a simulated search engine showed; None when nothing was simulated."""
    leaks: LeakRate | None = None
    """How often hiding the source failed; None when nothing was hidden."""
