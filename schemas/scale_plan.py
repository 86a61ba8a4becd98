"""Scale plan: the hours, disk and money that a whole Wikipedia would take, from the measured rates of a run."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.plan import CostPlan
from schemas.record import Frozen


class ScaleUnit(StrEnum):
    """Unit that the work of a stage scales with."""

    WORDS = "words"
    """Words of prose."""
    PASSAGES = "passages looked at"
    """Passages that spans are sought in."""
    ATTEMPTS = "attempts"


class WikiSize(Frozen):
    """Size of a wiki."""

    name: str
    """Name of the wiki."""
    articles: int = Field(ge=1)
    """Articles, redirects not counted."""
    words: int = Field(ge=1)
    """Words of their prose."""
    dump_bytes: int = Field(ge=1)
    """Size of the compressed dump of the current pages."""
    source: str
    """Source and date of the figures."""


class MachineFleet(Frozen):
    """Available machines."""

    machines: int = Field(default=1, ge=1)
    """Number of machines."""
    cores: int = Field(default=1, ge=1)
    """CPU cores of each."""
    price: float | None = Field(default=None, ge=0)
    """Price of one machine per hour; None where it is not given."""

    @property
    def all_cores(self) -> int:
        """Return the cores of all machines."""
        return self.machines * self.cores


class StageNeed(Frozen):
    """Resources of one stage."""

    stage: str
    """The stage."""
    unit: ScaleUnit
    """Unit that its work scales with."""
    units: float
    """Number of these units."""
    core_hours: float
    """CPU time; 0 for a stage that waits for language models."""
    hours: float | None
    """Wall time on the fleet; None where the throughput of the models is unknown."""
    bytes: float
    """Disk space of its files."""


class ScalePlan(Frozen):
    """Resources of the whole job."""

    wiki: WikiSize
    """Size of the wiki."""
    measured: str
    """Run that the rates come from."""
    fleet: MachineFleet
    """The machines."""
    trajectories: int
    """Attempts requested."""
    tasks: int
    """Tasks needed for them."""
    passages: float
    """Passages expected from the wiki."""
    stages: tuple[StageNeed, ...]
    """Every stage that was measured, in the order of the job."""
    index_memory: float | None
    """Memory in bytes to build the index on one machine; None without an index."""
    models: CostPlan | None
    """Plan of the language models, if the configuration has any."""
    notes: tuple[str, ...]
    """Unknown or assumed quantities."""

    @property
    def core_hours(self) -> float:
        """Return the CPU time of all stages."""
        return sum(stage.core_hours for stage in self.stages)

    @property
    def hours(self) -> float:
        """Return the wall time of the stages whose time is known, one after the other."""
        return sum(stage.hours or 0.0 for stage in self.stages)

    @property
    def bytes(self) -> float:
        """Return the disk space of everything, the compressed dump included."""
        return self.wiki.dump_bytes + sum(stage.bytes for stage in self.stages)

    @property
    def bottleneck(self) -> StageNeed:
        """Return the stage that takes the longest."""
        return max(self.stages, key=lambda stage: stage.hours or 0.0)

    @property
    def machine_money(self) -> float | None:
        """Return the cost of the machines for the whole duration."""
        return None if self.fleet.price is None else self.hours * self.fleet.machines * self.fleet.price
