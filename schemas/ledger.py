"""What a stage has finished: the books that resume, inspection and the funnel are read from."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from schemas.funnel import FunnelStep
from schemas.record import Frozen
from schemas.spending import RunSpending


class ShardFile(Frozen):
    """One Parquet file of a finished shard."""

    dataset: str
    """The dataset, and so the folder, it belongs to."""
    name: str
    """File name inside that folder."""
    rows: int
    """Rows in it."""
    bytes: int
    """Size on disk."""
    sha256: str
    """Checksum of the file."""


class ShardCommit(Frozen):
    """The proof that a shard is whole. Written last: without it the shard does not exist."""

    stage: str
    """The stage that made it."""
    shard: str
    """Name of the shard, shared by all stages it passes through."""
    inputs: int
    """Records that entered."""
    files: tuple[ShardFile, ...]
    """The files made of them."""
    funnel: tuple[FunnelStep, ...]
    """What entered, passed and was rejected."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of rampforge and of the packages that decided the rows; empty where an earlier rampforge made it."""

    def rows(self, dataset: str) -> int:
        """Rows made for one dataset."""
        return sum(file.rows for file in self.files if file.dataset == dataset)


class StageStart(Frozen):
    """stage.json: what a stage was started with."""

    settings: dict[str, str]
    """Every configuration key that decides the rows, with its value as JSON text."""
    upstream: str | None
    """Digest of the manifest this stage is made from; None for the first."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of rampforge and of the packages that decide the rows, when it was started; empty where an earlier
    rampforge, which wrote none down, started it."""
    accepted: dict[str, str] = Field(default_factory=dict)
    """The same versions as they were when somebody last asked to go on with others; empty where nobody did."""


class SourceRecord(Frozen):
    """A source as it was when it was read."""

    name: str
    """File name, after as many folders as tell it from the other sources."""
    edges: str
    """Its size and the hash of its edges; of a folder, of the names and sizes of its files."""
    modified: int | None
    """When it was last changed, in nanoseconds since 1970; of a folder, its youngest file; None where nobody tells."""
    sha256: str | None = None
    """Hash of its whole content, taken while it was read; None until it has been read to its end, and of data sets on a
    hub. Of a folder, over the names and hashes of its files."""


class SourceList(Frozen):
    """ledger/corpus/sources.json: what pages were read from, in order."""

    sources: tuple[SourceRecord, ...]
    """The sources."""


class StageManifest(Frozen):
    """A finished stage: every shard with its row counts and checksums."""

    stage: str
    """The stage."""
    settings: dict[str, str]
    """Every configuration key that decided the rows, with its value as JSON text."""
    upstream: str | None
    """Digest of the manifest this stage was made from; None for the first."""
    shards: tuple[ShardCommit, ...]
    """All shards, in order of their names."""
    files: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of what it made besides shards, by path in the run. (Of an index, the files that describe its parts.)"""

    def rows(self, dataset: str) -> int:
        """Rows of one dataset over all shards."""
        return sum(shard.rows(dataset) for shard in self.shards)


class StageTiming(Frozen):
    """How long a stage took in one session. Kept in run.json only: times never enter a shard."""

    stage: str
    """The stage."""
    seconds: float
    """Wall time of this session."""
    work_seconds: float
    """Seconds that processes spent inside the stage's own functions, summed over processes."""
    inputs: int
    """Records that entered in this session."""


class RunRecord(Frozen):
    """run.json: explains a run to whoever finds the folder."""

    run: str
    """Name of the run."""
    version: str
    """Version of rampforge that last worked on it."""
    revision: str | None
    """Git revision of the checkout, where there is one."""
    packages: dict[str, str]
    """Versions of the packages that decide rows, when it was last worked on."""
    made_with: dict[str, dict[str, str]] = Field(default_factory=dict)
    """For each finished stage the versions that made its rows; several of one package are parted by a comma."""
    config: dict[str, object]
    """The whole configuration, secrets left out."""
    sources: dict[str, str]
    """Size of each source and the hash of its whole content, or of its edges until it has been read to its end."""
    models: dict[str, str]
    """Name and revision of each model."""
    prompts: dict[str, str]
    """Digest of each prompt template used."""
    fingerprints: dict[str, str]
    """Digest of each stage's manifest, and as `engine` the fingerprint of the search engine: results of two engines are
    not comparable."""
    funnel: tuple[FunnelStep, ...]
    """The sums of every stage so far."""
    timings: tuple[StageTiming, ...]
    """One entry for each stage and session."""
    tokens: int
    """Tokens spent on language models that were called over an API."""
    cost: float
    """Money spent on them."""
    spending: RunSpending | None = None
    """The same by role, with calls and time, and for each accepted trajectory; None before any call."""
