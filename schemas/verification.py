"""What `rampforge verify` found in a run."""

from __future__ import annotations

from enum import StrEnum

from pydantic import computed_field

from schemas.record import Frozen


class FileFault(StrEnum):
    """What is wrong with a file."""

    DAMAGED = "damaged"
    MISSING = "missing"
    OUTDATED = "outdated"
    """Made from other shards than the run holds now."""
    FOREIGN = "foreign"
    """In no ledger: no command reads it, and it is left alone."""
    UNRECORDED = "not recorded"
    """An earlier version wrote it and no checksum of it."""
    UNPROVEN = "unproven"
    """What would hold its checksum is damaged."""


HARMLESS = (FileFault.FOREIGN, FileFault.UNRECORDED)


class Part(StrEnum):
    """What a file is to its run, and so how it is made again."""

    SHARD = "shard"
    COMMIT = "commit"
    MANIFEST = "manifest"
    START = "start"
    SOURCES = "sources"
    """The list of what pages were read from."""
    RECORD = "record"
    MADE = "made"
    """A file of a stage besides its shards: the list of near-duplicates, the report."""
    INDEX = "index"
    LOG = "log"
    """A journal, or another file of lines."""
    ROWS = "rows"
    """Rows that do not fit their schema or each other."""
    ASSET = "asset"
    SOURCE = "source"
    OTHER = "other"


class VerificationFinding(Frozen):
    """One file."""

    file: str
    """Its path in the run; of an asset or a source, its name."""
    fault: FileFault
    """What is wrong."""
    what: str
    """The same in words."""
    part: Part
    """What it is."""
    stage: str = ""
    """The stage it belongs to."""
    shard: str = ""
    """The shard it belongs to."""
    fix: str = ""
    """The command that makes it again."""

    @property
    def harmless(self) -> bool:
        """Whether the run is sound all the same."""
        return self.fault in HARMLESS


class Verification(Frozen):
    """All that was found."""

    run: str
    """The run's folder or URL."""
    files: int
    """Files looked at."""
    bytes: int
    """Bytes of them."""
    findings: tuple[VerificationFinding, ...]
    """What is not as it was written, in the order of the paths."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def sound(self) -> bool:
        """Whether nothing is damaged, missing or outdated."""
        return all(finding.harmless for finding in self.findings)
