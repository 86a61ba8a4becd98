"""What a corpus of a whole Wikipedia would take: measured rates of a run in, hours, disk and money out."""

from __future__ import annotations

from pydantic import Field

from schemas.plan import CostPlan
from schemas.record import Frozen


class WikiSize(Frozen):
    """How large a wiki is."""

    name: str
    """What it is called."""
    articles: int = Field(ge=1)
    """Articles, redirects not counted."""
    words: int = Field(ge=1)
    """Words of their prose."""
    dump_bytes: int = Field(ge=1)
    """Size of the compressed dump of the current pages."""
    source: str
    """Who says so, and when."""


class MachineFleet(Frozen):
    """The machines that are at hand."""

    machines: int = Field(default=1, ge=1)
    """How many."""
    cores: int = Field(default=1, ge=1)
    """CPU cores of each."""
    price: float | None = Field(default=None, ge=0)
    """Money for an hour of one; None where it is not told."""

    @property
    def all_cores(self) -> int:
        """Cores of all machines."""
        return self.machines * self.cores


class StageNeed(Frozen):
    """What one stage would take."""

    stage: str
    """The stage."""
    unit: str
    """What its work grows with: words, passages looked at, or attempts."""
    units: float
    """How many of them there would be."""
    core_hours: float
    """CPU work; 0 for a stage that waits for language models."""
    hours: float | None
    """Wall time on the fleet; None where the speed of the models is not known."""
    bytes: float
    """Disk that its files would take."""


class ScalePlan(Frozen):
    """What the whole would take."""

    wiki: WikiSize
    """How large it is."""
    measured: str
    """The run that the rates come from."""
    fleet: MachineFleet
    """The machines."""
    trajectories: int
    """Attempts wanted."""
    tasks: int
    """Tasks for them."""
    passages: float
    """Passages that the wiki would give."""
    stages: tuple[StageNeed, ...]
    """Every stage that was measured, in the order of the job."""
    index_memory: float | None
    """Bytes of memory that one machine needs to build the index; None without one."""
    models: CostPlan | None
    """Tokens and money of the language models, where the configuration has any."""
    notes: tuple[str, ...]
    """What is not known or was assumed."""

    @property
    def core_hours(self) -> float:
        """CPU work of all stages."""
        return sum(stage.core_hours for stage in self.stages)

    @property
    def hours(self) -> float:
        """Wall time of the stages whose time is known, one after the other."""
        return sum(stage.hours or 0.0 for stage in self.stages)

    @property
    def bytes(self) -> float:
        """Disk of everything, the compressed dump included."""
        return self.wiki.dump_bytes + sum(stage.bytes for stage in self.stages)

    @property
    def bottleneck(self) -> StageNeed:
        """The stage that takes the longest."""
        return max(self.stages, key=lambda stage: stage.hours or 0.0)

    @property
    def machine_money(self) -> float | None:
        """Money for the machines, for as long as the whole takes."""
        return None if self.fleet.price is None else self.hours * self.fleet.machines * self.fleet.price
