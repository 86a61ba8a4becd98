"""Data of a report: totals, and a few records in full; small for a run of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.charts.layout import Histogram
from pipeline.report.leaks import LeakRate
from schemas.audit import Measure
from schemas.judgements import Judgement, SimulatedEvidence
from schemas.ledger import RunRecord
from schemas.tasks import MaskTask
from schemas.trajectories import Trajectory


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Outcomes of the attempts with one hide mode and mask count."""

    hide: str
    """Part of the source that was hidden from the search."""
    masks: int
    """Number of masks; 0 for the sum over all."""
    attempts: int
    """Trajectories judged."""
    accepted: int
    seen: int
    """Trajectories that were shown a passage with each gold answer."""
    accepted_seen: int
    """Accepted trajectories among them."""
    source_shown: int
    """Trajectories that were shown a passage of the task's own page."""


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """Size of a dataset on disk."""

    name: str
    rows: int
    shards: int
    bytes: int
    columns: Mapping[str, str] = field(default_factory=dict)
    """Types by column name, where they are shown."""


@dataclass(frozen=True, slots=True)
class ReportExample:
    """Trajectory with its task and its judgement."""

    task: MaskTask
    trajectory: Trajectory
    judgement: Judgement | None
    """None before it is judged."""


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report shows."""

    record: RunRecord
    datasets: tuple[DatasetSize, ...]
    histograms: tuple[Histogram, ...]
    """In the order they are shown."""
    acceptance: tuple[Acceptance, ...]
    """One row for each hide mode and mask count, and one for the sum of each hide mode."""
    examples: tuple[ReportExample, ...]
    audit: tuple[Measure, ...] = ()
    """Measures that need no reader."""
    simulated: SimulatedEvidence | None = None
    """Totals of a simulated search engine; None when nothing was simulated."""
    leaks: LeakRate | None = None
    """None when nothing was hidden."""
