"""The ledger: the finished work of each stage, from which resuming, inspection and the funnel are derived."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pydantic import Field

from schemas.funnel import FunnelStep
from schemas.record import Frozen
from schemas.spending import RunSpending


class ShardFile(Frozen):
    """One Parquet file of a finished shard."""

    dataset: str
    """Dataset, and so the folder, that it belongs to."""
    name: str
    """File name inside that folder."""
    rows: int
    """Number of rows."""
    bytes: int
    """Size on disk."""
    sha256: str
    """Checksum of the file."""


class ShardCommit(Frozen):
    """Commit record of a shard. Written last: without it the shard does not exist."""

    stage: str
    """Stage that made it."""
    shard: str
    """Name of the shard, shared by all stages it passes through."""
    inputs: int
    """Number of records that entered."""
    files: tuple[ShardFile, ...]
    """Files of the shard."""
    funnel: tuple[FunnelStep, ...]
    """Totals of what entered, passed and was rejected."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of rampforge and of the packages that affect the rows; empty where an earlier rampforge made it."""

    def rows(self, dataset: str) -> int:
        """Return the number of rows of one dataset."""
        return sum(file.rows for file in self.files if file.dataset == dataset)


class StageStart(Frozen):
    """Inputs that a stage was started with (stage.json)."""

    settings: dict[str, str]
    """Every configuration key that affects the rows, with its value as JSON text."""
    upstream: str | None
    """Digest of the upstream manifest; None for the first stage."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Versions of rampforge and of the packages that affect the rows, at the start; empty where an earlier rampforge
    that did not record them started it."""
    accepted: dict[str, str] = Field(default_factory=dict)
    """The same versions when continuing with other versions was last requested; empty where that never happened."""


class SourceRecord(Frozen):
    """Source as it was when it was read."""

    name: str
    """File name, preceded by as many folders as distinguish it from the other sources."""
    edges: str
    """Size and hash of the first and last bytes; for a folder, hash of the names and sizes of its files."""
    modified: int | None
    """Time of the last change, in nanoseconds since 1970; for a folder, of its newest file; None where unknown."""
    sha256: str | None = None
    """Hash of the whole content, computed while reading; None until it has been read to its end, and for data sets on a
    hub. For a folder, over the names and hashes of its files."""


class SourceList(Frozen):
    """Sources that pages were read from, in order (ledger/corpus/sources.json)."""

    sources: tuple[SourceRecord, ...]
    """The sources."""


class StageManifest(Frozen):
    """Manifest of a finished stage: every shard with its row counts and checksums."""

    stage: str
    """Name of the stage."""
    settings: dict[str, str]
    """Every configuration key that affected the rows, with its value as JSON text."""
    upstream: str | None
    """Digest of the upstream manifest; None for the first stage."""
    shards: tuple[ShardCommit, ...]
    """All shards, ordered by name."""
    files: Mapping[str, str] = Field(default_factory=dict)
    """SHA-256 of the files besides shards, by path in the run. (For an index, of the files that describe its parts.)"""

    def rows(self, dataset: str) -> int:
        """Return the number of rows of one dataset over all shards."""
        return sum(shard.rows(dataset) for shard in self.shards)


class StageTiming(Frozen):
    """Time that a stage took in one session. Kept in run.json only: times never enter a shard."""

    stage: str
    """The stage."""
    seconds: float
    """Wall time of this session."""
    work_seconds: float
    """Seconds that processes spent inside the stage's own functions, summed over processes."""
    inputs: int
    """Records that entered in this session."""


class RunRecord(Frozen):
    """Self-description of a run (run.json)."""

    run: str
    """Name of the run."""
    version: str
    """Version of rampforge that last worked on the run."""
    revision: str | None
    """Git revision of the checkout, where there is one."""
    packages: dict[str, str]
    """Versions of the packages that affect rows, at the last work on the run."""
    made_with: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Versions that made the rows of each finished stage; several of one package are separated by commas."""
    config: dict[str, object]
    """Complete configuration, without secrets."""
    sources: dict[str, str]
    """Size of each source, with the hash of its whole content, or of its first and last bytes until it has been read to
    its end."""
    models: dict[str, str]
    """Name and revision of each model."""
    prompts: dict[str, str]
    """Digest of each prompt template used."""
    fingerprints: dict[str, str]
    """Digest of each stage's manifest, and as `engine` the fingerprint of the search engine: results of different
    engines are not comparable."""
    funnel: tuple[FunnelStep, ...]
    """Totals of every stage so far."""
    timings: tuple[StageTiming, ...]
    """One entry for each stage and session."""
    tokens: int
    """Tokens of language models called over an API."""
    cost: float
    """Cost of these calls."""
    day: date | None = None
    """Day on which the run began: the date that chat templates write into prompts."""
    asked_tasks: int | None = None
    """Number of tasks asked for, by `masking.limit` or by the plan of a round; None where every passage may give some,
    and for an imported run."""
    imported: str | None = None
    """Formats of the rows that its tasks and trajectories were imported from; None where they were made here."""
    spending: RunSpending | None = None
    """The same by role, with calls and time, and per accepted trajectory; None before the first call."""
