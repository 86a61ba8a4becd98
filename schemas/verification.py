"""Results of `rampforge verify`."""

from __future__ import annotations

from enum import StrEnum

from pydantic import computed_field

from schemas.record import Frozen


class FileFault(StrEnum):
    """Faults of a file."""

    DAMAGED = "damaged"
    MISSING = "missing"
    OUTDATED = "outdated"
    """Made from other shards than the run holds now."""
    FOREIGN = "foreign"
    """Not in any ledger: no command reads it, and it is left unchanged."""
    UNRECORDED = "not recorded"
    """Written by an earlier version that recorded no checksum of it."""
    UNPROVEN = "unproven"
    """The record that should hold its checksum is damaged."""


HARMLESS = (FileFault.FOREIGN, FileFault.UNRECORDED)


class Part(StrEnum):
    """Part of the run that a file belongs to, which determines how it is made again."""

    SHARD = "shard"
    COMMIT = "commit"
    MANIFEST = "manifest"
    START = "start"
    SOURCES = "sources"
    """List of the sources that pages were read from."""
    RECORD = "record"
    MADE = "made"
    """File of a stage other than its shards: the list of near-duplicates, the report."""
    INDEX = "index"
    LOG = "log"
    """Journal, or another file of lines."""
    ROWS = "rows"
    """Rows that do not match their schema or each other."""
    ASSET = "asset"
    SOURCE = "source"
    OTHER = "other"


class VerificationFinding(Frozen):
    """Finding about one file."""

    file: str
    """Path in the run; for an asset or a source, its name."""
    fault: FileFault
    """Fault of the file."""
    what: str
    """Description of the fault."""
    part: Part
    """Part of the run that it belongs to."""
    stage: str = ""
    """Stage that it belongs to."""
    shard: str = ""
    """Shard that it belongs to."""
    fix: str = ""
    """Command that makes it again."""

    @property
    def harmless(self) -> bool:
        """Return whether the run is sound nevertheless."""
        return self.fault in HARMLESS


class Verification(Frozen):
    """Result of a verification."""

    run: str
    """Folder or URL of the run."""
    files: int
    """Files examined."""
    bytes: int
    """Total size of these files."""
    findings: tuple[VerificationFinding, ...]
    """Deviations from what was written, ordered by path."""

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def sound(self) -> bool:
        """Return whether nothing is damaged, missing or outdated."""
        return all(finding.harmless for finding in self.findings)
